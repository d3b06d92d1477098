"""The server's side of `/agent/v1`, played over real sockets, as far as an agent can tell."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

PATIENCE_S = 30.0
Frame = dict[str, Any]


class Session:
    """One accepted connection: what came on it, in order."""

    def __init__(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        self.connection = connection
        self.path = connection.request.path
        self.authorization = connection.request.headers.get("Authorization")
        self.frames: list[Frame] = []
        self.ended = False

    def of_type(self, kind: str) -> list[Frame]:
        return [frame for frame in self.frames if frame["type"] == kind]

    @property
    def hello(self) -> Frame:
        return self.of_type("hello")[-1]

    def send(self, **frame: Any) -> None:
        self.connection.send(json.dumps(frame))

    def close(self, code: int) -> None:
        self.connection.close(code)


class PanelServer:
    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.sessions: list[Session] = []
        self.desired: list[Frame] = []
        self.heartbeat: float = 10
        self.acks = True
        self.pongs = True
        self.refuse_with: int | None = None
        self._news = threading.Condition()
        self._server: Server | None = None

    def start(self) -> None:
        self._server = serve(self._handle, "127.0.0.1", self.port, compression=None)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server = None
            for session in self.sessions:
                session.connection.close(1012)

    def wait_for(
        self, seen: Callable[[], Any], what: str = "", within_s: float = PATIENCE_S
    ) -> Any:
        """What `seen` answers once it is true; looked at again after each frame that comes."""
        deadline = time.monotonic() + within_s
        with self._news:
            while True:
                found = seen()
                if found:
                    return found
                left = deadline - time.monotonic()
                if left <= 0:
                    got = [(frame["type"], frame) for s in self.sessions for frame in s.frames]
                    raise AssertionError(f"waited in vain for {what or seen}; got {got[-20:]}")
                self._news.wait(min(left, 0.25))

    def session(self, number: int = 0) -> Session:
        """The nth connection, once it has said which breakers it has."""
        self.wait_for(
            lambda: len(self.sessions) > number and self.sessions[number].of_type("hello")
        )
        return self.sessions[number]

    def session_with(self, breaker: str) -> Session:
        def found() -> Session | None:
            for session in reversed(self.sessions):
                hellos = session.of_type("hello")
                if hellos and any(b["breaker"] == breaker for b in hellos[-1]["breakers"]):
                    return session
            return None

        answer: Session = self.wait_for(found, f"a hello with {breaker}")
        return answer

    def events(self, **wanted: Any) -> list[Frame]:
        """All events received so far, a repeat as often as it came."""
        return [
            event
            for session in list(self.sessions)
            for frame in session.of_type("events")
            for event in frame["events"]
            if all(event.get(key) == value for key, value in wanted.items())
        ]

    def event(self, **wanted: Any) -> Frame:
        """The first event with these fields, waited for."""
        answer: Frame = self.wait_for(lambda: self.events(**wanted), f"an event {wanted}")[0]
        return answer

    def applied(self, revision: int, session: Session | None = None) -> Frame:
        def found() -> list[Frame]:
            return [
                frame
                for each in ([session] if session else list(self.sessions))
                for frame in each.of_type("applied")
                if frame["revision"] == revision
            ]

        answer: Frame = self.wait_for(found, f"applied {revision}")[-1]
        return answer

    def _handle(self, connection: ServerConnection) -> None:
        session = Session(connection)
        with self._news:
            self.sessions.append(session)
        try:
            if self.refuse_with is not None:
                session.close(self.refuse_with)
                return
            for text in connection:
                frame = json.loads(text)
                with self._news:
                    session.frames.append(frame)  # before the ack: who has flushed may look
                    self._news.notify_all()
                # Who has gone without waiting for an answer may have said more before that.
                with suppress(ConnectionClosed):
                    self._answer(session, frame)
        except ConnectionClosed:
            pass
        finally:
            with self._news:
                session.ended = True
                self._news.notify_all()

    def _answer(self, session: Session, frame: Frame) -> None:
        if frame["type"] == "hello":
            session.send(type="welcome", heartbeat=self.heartbeat, desired=self.desired)
        elif frame["type"] == "ping" and self.pongs:
            session.send(type="pong")
        elif frame["type"] == "events" and self.acks:
            session.send(
                type="ack",
                batch=frame["batch"],
                accepted=len(frame["events"]),
                duplicates=0,
                rejected=[],
            )


@contextmanager
def panel_server() -> Iterator[PanelServer]:
    server = PanelServer()
    server.start()
    try:
        yield server
    finally:
        server.stop()


def desired(breaker: str, revision: int, mode: str | None = None, **more: Any) -> Frame:
    """A DESIRED frame of the contract."""
    return {
        "type": "desired",
        "breaker": breaker,
        "revision": revision,
        "mode": mode,
        "reason": "because",
        "expires_in": None,
        "command": None,
        **more,
    }
