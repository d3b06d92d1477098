"""The panel's side of `/agent/v1`, played over real sockets: answers as it would, unless told otherwise."""

from __future__ import annotations

import contextlib
import json
import secrets
import threading
import time
from typing import Any, Callable, Dict, Iterator, List, Optional, TypeVar

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

from panelboard_client.conformance import frames

Frame = Dict[str, Any]
T = TypeVar("T")
PATH = "/agent/v1"


class Call:
    """One connection: when it came, and what was said on it, in order."""

    def __init__(self, connection: ServerConnection) -> None:
        self.connection = connection
        self.came_at = time.monotonic()
        request = connection.request
        self.path = request.path if request is not None else ""
        self.authorization = request.headers.get("Authorization") if request is not None else None
        self.frames: List[Frame] = []
        self.turned_away: Optional[int] = None
        self.ended = False

    def of_type(self, kind: str) -> List[Frame]:
        return [frame for frame in list(self.frames) if frame.get("type") == kind]

    @property
    def hello(self) -> Optional[Frame]:
        hellos = self.of_type("hello")
        return hellos[-1] if hellos else None

    def send(self, frame: Frame) -> None:
        with contextlib.suppress(ConnectionClosed, OSError):
            self.connection.send(json.dumps(frame))


class Stage:
    """Where the agent under test meets the panel. One thread a connection; the play runs in the caller's."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        key: str,
        heartbeat_s: float,
        noticed: Callable[[str, Optional[str]], None],
    ) -> None:
        self.key = key or f"pb_{secrets.token_urlsafe(16)}"
        self.heartbeat_s = heartbeat_s
        self.calls: List[Call] = []
        self.acks = True
        self.pongs = True
        self.doors: List[int] = []
        """Close codes for the connections that come next."""
        self.away_until = 0.0
        """Until then (monotonic seconds) whoever comes is turned away with 1013."""
        self.doubts = False
        """Whether the next hellos' revisions are told to be unknown."""
        self._noticed = noticed
        self._standing: Dict[str, Frame] = {}
        self._ends: Dict[str, float] = {}
        self._revision = self._before = 0
        self._news = threading.Condition()
        self._server: Server = serve(
            self._handle, host, port, compression=None, max_size=2 * frames.MAX_FRAME
        )
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        bound = self._server.socket.getsockname()
        shown = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
        self.url = f"http://{shown}:{bound[1]}"

    def __enter__(self) -> Stage:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        for call in list(self.calls):
            with contextlib.suppress(Exception):
                call.connection.close(1012)

    # What the play asks and does.

    def wait(self, seen: Callable[[], T], within_s: float) -> Optional[T]:
        """What `seen` answers once it is true; None if it does not become so in time."""
        deadline = time.monotonic() + within_s
        with self._news:
            while True:
                found = seen()
                if found:
                    return found
                left = deadline - time.monotonic()
                if left <= 0:
                    return None
                self._news.wait(min(left, 0.1))

    def current(self) -> Optional[Call]:
        """The connection on which the agent has presented a breaker, if one is open."""
        for call in reversed(list(self.calls)):
            if not call.ended and call.turned_away is None and call.hello is not None:
                return call if call.hello.get("breakers") else None
        return None

    def next_call(self, after: int, within_s: float) -> Optional[Call]:
        """A connection that came after the first `after` ones and has presented a breaker."""

        def found() -> Optional[Call]:
            call = self.current()
            return call if call is not None and self.calls.index(call) >= after else None

        return self.wait(found, within_s)

    def order(
        self,
        breaker: str,
        mode: Optional[str],
        *,
        skip: int = 0,
        expires_in: Optional[float] = None,
        command: Optional[Frame] = None,
        is_told: bool = True,
        **more: Any,
    ) -> int:
        """Wishes something new of the breaker, and tells it; the revision."""
        self._revision += 1 + skip
        frame: Frame = {
            "type": "desired",
            "breaker": breaker,
            "revision": self._revision,
            "mode": mode,
            "reason": "conformance" if mode else None,
            "expires_in": expires_in,
            "command": command,
            **more,
        }
        self._standing[breaker] = frame
        self._ends[breaker] = time.monotonic() + (expires_in or 0.0)
        call = self.current()
        if call is not None and is_told:
            call.send(frame)
        return self._revision

    def begin_anew(self, breaker: str, mode: Optional[str], expires_in: float) -> int:
        """Knows nothing of what was wished before, and wishes this, from the next welcome on; the revision."""
        self.doubts, self._before, self._revision = True, self._revision, 0
        return self.order(breaker, mode, expires_in=expires_in, is_told=False)

    def go_on(self) -> None:
        """As before: above all that was ever wished."""
        self.doubts, self._revision = False, self._before + self._revision

    def events(self, **wanted: Any) -> List[Frame]:
        """All events so far, a repeat as often as it came."""
        return [
            event
            for call in list(self.calls)
            for frame in call.of_type("events")
            for event in frame.get("events") or []
            if isinstance(event, dict) and all(event.get(key) == wanted[key] for key in wanted)
        ]

    def close(self, code: int) -> None:
        call = self.current()
        if call is not None:
            with contextlib.suppress(ConnectionClosed, OSError):
                call.connection.close(code, "conformance")

    # The connections' threads.

    def _handle(self, connection: ServerConnection) -> None:
        call = Call(connection)
        with self._news:
            if self.doors:
                call.turned_away = self.doors.pop(0)
            elif time.monotonic() < self.away_until:
                call.turned_away = 1013
            self.calls.append(call)
            self._news.notify_all()
        try:
            if call.turned_away is not None:
                connection.close(call.turned_away, "conformance")
                return
            for text in connection:
                frame, wrong = frames.read(text)
                self._noticed("frames", wrong)
                self._answer(call, frame)
                with self._news:
                    call.frames.append(frame)
                    self._news.notify_all()
        except (ConnectionClosed, OSError):
            pass
        finally:
            with self._news:
                call.ended = True
                self._news.notify_all()

    def _answer(self, call: Call, frame: Frame) -> None:
        kind = frame.get("type")
        if kind == "hello":
            desired = list(self._owed(frame))
            welcome = {"type": "welcome", "heartbeat": self.heartbeat_s, "desired": desired}
            if self.doubts:
                welcome["warnings"] = [
                    {
                        "breaker": each.get("breaker"),
                        "code": "revision_unknown",
                        "msg": "unknown here",
                    }
                    for each in frame.get("breakers") or []
                ]
            call.send(welcome)
        elif kind == "ping" and self.pongs:
            call.send({"type": "pong"})
        elif kind == "events" and self.acks:
            call.send(
                {
                    "type": "ack",
                    "batch": frame.get("batch"),
                    "accepted": len(frame.get("events") or []),
                    "duplicates": 0,
                    "rejected": [],
                }
            )

    def _owed(self, hello: Frame) -> Iterator[Frame]:
        """What a welcome says: with the time that remains, and no override that is over."""
        now = time.monotonic()
        for each in hello.get("breakers") or []:
            standing = self._standing.get(str(each.get("breaker")))
            if standing is None:
                continue
            if standing["expires_in"] is not None and now >= self._ends[standing["breaker"]]:
                self._revision += 1  # an expiry is a revision too
                standing.update(
                    revision=self._revision, mode=None, reason=None, expires_in=None, command=None
                )
            left = self._ends[standing["breaker"]] - now
            yield {
                **standing,
                "expires_in": None if standing["expires_in"] is None else left,
                "command": None,
            }
