"""The smallest agent that keeps every rule, from docs/agent-protocol.md alone, for one breaker that is only a word.

`--wrong RULE` makes it break that one rule. Knows nothing of `panelboard_client`.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

Frame = dict[str, Any]
KNOWN = {"type", "breaker", "revision", "mode", "reason", "expires_in", "command"}
WRONG = sys.argv[sys.argv.index("--wrong") + 1] if "--wrong" in sys.argv else ""


class Agent:
    def __init__(self) -> None:
        self.boot = "boot-1"
        self.connections = 0
        self.instance = "tiny-1"
        self.natural = "closed"
        self.mode: str | None = None
        self.until = float("inf")
        self.applied = 0
        self.ran: set[str] = set()
        self.seq = 0
        self.unacked: list[Frame] = []
        self.acked: list[Frame] = []
        self.batch = 0
        self.lock = threading.RLock()
        self.socket: ClientConnection | None = None

    @property
    def state(self) -> str:
        return self.mode or self.natural

    # What it says.

    def say(self, frame: Frame) -> None:
        if self.socket is not None:
            self.socket.send(json.dumps(frame))

    def hello(self, boot: str | None = None) -> None:
        state = "OPEN" if WRONG == "frames" else self.state
        breaker = {"breaker": "catalog", "state": state, "natural_state": self.natural}
        breaker |= {"seq": self.seq, "applied_revision": self.applied}
        names = {"service": "tiny", "instance": self.instance, "boot": boot or self.boot}
        names |= {"connection": 1 if WRONG == "connection-grows" else self.connections}
        self.say({"type": "hello", **names, "breakers": [breaker]})

    def change(self, before: str) -> None:
        if self.state == before:
            return
        self.seq += 1
        event = {"breaker": "catalog", "from": before, "to": self.state, "seq": self.seq}
        event |= {"natural_state": self.natural}
        if WRONG != "event-ids":
            event |= {"id": f"{self.boot}-{self.seq}", "occurred_at": _now()}
        self.unacked.append(event)
        self.send_events(self.unacked[-1:])

    def send_events(self, events: list[Frame]) -> None:
        if events and self.socket is not None:
            self.batch += 1
            self.say({"type": "events", "batch": self.batch, "events": events})

    def answer(self, revision: int, error: str | None = None) -> None:
        frame: Frame = {"type": "applied", "breaker": "catalog", "revision": revision}
        if error is not None:
            self.say(frame | {"ok": False, "error": error})
        else:
            self.say(frame | {"ok": True, "state": self.state, "natural_state": self.natural})

    # What it hears.

    def hear(self, frame: Frame) -> None:
        kind = frame.get("type")
        if kind == "welcome":
            self.heartbeat = 10 if WRONG == "ping" else frame["heartbeat"]
            for warning in frame.get("warnings", []):
                if warning["code"] == "revision_unknown" and WRONG != "revision-forgotten":
                    self.applied = 0
            for desired in frame["desired"]:
                self.obey(desired)
        elif kind == "desired":
            self.obey(frame)
        elif kind == "ack":
            self.acked += self.unacked
            self.unacked.clear()
        elif kind != "pong" and WRONG == "unknown-frames":
            raise SystemExit(f"cannot go on after {kind}")

    def obey(self, order: Frame) -> None:
        revision = order["revision"]
        if order["breaker"] != "catalog":
            if WRONG == "unknown-breaker":
                self.say({"type": "applied", "ok": True, "state": "forced_open"} | _of(order))
            return
        if WRONG == "unknown-fields" and set(order) - KNOWN:
            return
        if WRONG == "revision-gap" and revision > self.applied + 20:
            return
        if revision <= self.applied and WRONG != "older-revision":
            if not (WRONG == "repeat" and revision == self.applied):
                self.answer(self.applied)
            return
        if order["mode"] not in (None, "forced_open", "forced_closed") and WRONG != "unknown-mode":
            self.answer(revision, f"this agent knows no mode {order['mode']!r}")
            return
        if WRONG == "null-confirmed" and order["mode"] is None:
            return
        before = self.state
        if WRONG == "applied":
            self.answer(revision)
            return
        self.mode = order["mode"]
        self.until = float("inf")
        if order["expires_in"] is not None and WRONG != "expiry":
            self.until = time.monotonic() + order["expires_in"]
        self.command(order["command"])
        self.applied = revision
        self.change(before)
        self.answer(revision)

    def command(self, command: Frame | None) -> None:
        if command is None or WRONG == "command":
            return
        if command["expires_in"] <= 0 and WRONG != "command-late":
            return
        if command["id"] in self.ran and WRONG != "command-once":
            return
        self.ran.add(command["id"])
        self.natural = {"trip": "open", "reset": "closed"}[command["command"]]

    # Its life.

    def keep_time(self) -> None:
        while True:
            time.sleep(0.02)
            with self.lock:
                offline = self.socket is None
                if time.monotonic() >= self.until and not (offline and WRONG == "expiry-offline"):
                    before, self.mode, self.until = self.state, None, float("inf")
                    self.change(before)

    def live(self) -> None:
        threading.Thread(target=self.keep_time, daemon=True).start()
        attempt = 0
        while True:
            code = self.converse()
            if code == 4409 and WRONG != "taken-4409":
                self.instance += "-again"
            if code in (4401, 4403) and WRONG != "refused-4401":
                time.sleep(60)
            if code == 1013 and WRONG == "reconnect-1013":
                return
            if WRONG == "reconnect-1012":
                self.boot += "0"
            if WRONG == "standing":
                self.mode, self.applied = None, 0
            if WRONG == "resend":
                self.unacked.clear()
            if WRONG == "acked-once":
                self.unacked = self.acked + self.unacked
            bound = min(30.0, 0.5 * 2**attempt)
            if WRONG not in ("back-off", "taken-4409", "refused-4401"):
                time.sleep(random.uniform(0, bound))
            attempt += 1

    def converse(self) -> int:
        """One connection; the code with which it ended."""
        key = "" if WRONG == "key" else f"Bearer {os.environ['PANELBOARD_API_KEY']}"
        url = os.environ["PANELBOARD_URL"].replace("http", "ws", 1) + "/agent/v1"
        try:
            with connect(url, additional_headers={"Authorization": key}, proxy=None) as socket:
                with self.lock:
                    self.socket = socket
                    self.connections += 1
                    if WRONG == "hello-first":
                        self.say({"type": "ping"})
                    self.hello()
                    if WRONG == "hello-again":
                        self.hello(boot="another")
                    self.send_events(self.unacked)
                self.listen(socket)
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else 1006
        except OSError:
            return 1006
        finally:
            self.socket = None
        return 1006

    def listen(self, socket: ClientConnection) -> None:
        """Pings, and returns after three heartbeats of silence."""
        self.heartbeat = 10.0
        heard_at = pinged_at = time.monotonic()
        while True:
            now = time.monotonic()
            if now - heard_at > 3 * self.heartbeat and WRONG != "silence":
                return
            if now - pinged_at >= self.heartbeat:
                pinged_at = now
                self.say({"type": "ping"})
            try:
                text = socket.recv(timeout=0.05)
            except TimeoutError:
                continue
            heard_at = time.monotonic()
            with self.lock:
                self.hear(json.loads(text))


def _of(order: Frame) -> Frame:
    return {"breaker": order["breaker"], "revision": order["revision"]}


def _now() -> str:
    seconds = time.time()
    return (
        f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{int(seconds % 1 * 1e6):06}Z"
    )


if __name__ == "__main__":
    Agent().live()
