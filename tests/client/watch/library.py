"""What the shared tests must know of a library to drive its breakers as a service would."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

from panelboard_client import Panel

from tests.client.panel_server import PATIENCE_S, PanelServer, Session, desired

MINUTE = 60.0
AT_ONCE = 0.1
"""A wait that is over by the next try or two; some libraries take 0 for their default."""


class Broken(Exception):
    """What the guarded function raises."""


def broken() -> None:
    raise Broken


def fine() -> str:
    return "fine"


class Library:
    """A library's breakers, called in one of the ways that it offers."""

    refused: type[Exception]
    """What it raises for a call that it does not let through."""

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def make(self, *, failures: int, wait_s: float) -> Any:
        """A breaker that opens after so many failures, and tries again after so long."""
        raise NotImplementedError

    def call(self, breaker: Any, func: Callable[[], Any]) -> Any:
        raise NotImplementedError

    def decorated(self, breaker: Any, func: Callable[[], Any]) -> Callable[[], Any]:
        """The function guarded as the library's own decorator does it."""
        raise NotImplementedError

    def shape(self, breaker: Any) -> Any:
        """Something that is another if the breaker is not as its library made it."""
        return shape(breaker)


def shape(thing: Any) -> tuple[type, dict[str, Any]]:
    """Its class, and the methods set on the object itself."""
    own = {name: value for name, value in vars(thing).items() if callable(value)}
    return type(thing), {name: own[name] for name in own if not name.startswith("_panelboard")}


class AsyncLibrary(Library):
    """One that is called on an event loop, which here runs in a thread of its own."""

    def start(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(PATIENCE_S)
        self.loop.close()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE_S)

    def call(self, breaker: Any, func: Callable[[], Any]) -> Any:
        return self.run(self.acall(breaker, as_coroutine(func)))

    async def acall(self, breaker: Any, func: Callable[[], Any]) -> Any:
        raise NotImplementedError

    def decorated(self, breaker: Any, func: Callable[[], Any]) -> Callable[[], Any]:
        guarded = self.adecorated(breaker, as_coroutine(func))
        return lambda: self.run(guarded())

    def adecorated(self, breaker: Any, func: Callable[[], Any]) -> Callable[[], Any]:
        raise NotImplementedError


def as_coroutine(func: Callable[[], Any]) -> Callable[[], Coroutine[Any, Any, Any]]:
    async def coroutine() -> Any:
        return func()

    return coroutine


class Watched:
    """A watched breaker and the session that steers it."""

    def __init__(self, server: PanelServer, panel: Panel, breaker: Any) -> None:
        self.server = server
        self.panel = panel
        self.breaker = panel.watch(breaker, name="catalog", target="catalog")
        self.session: Session = server.session_with("catalog")
        self.revision = 0

    @property
    def entry(self) -> Any:
        return self.panel._roster.all()[0]

    def order(self, mode: str | None = None, **more: Any) -> dict[str, Any]:
        """Orders it, and answers the `applied` to that."""
        self.revision += 1
        self.session.send(**desired("catalog", self.revision, mode, **more))
        return self.server.applied(self.revision)

    def command(self, command: str) -> dict[str, Any]:
        command_id = f"c{self.revision + 1}"
        return self.order(command={"id": command_id, "command": command, "expires_in": 60})

    def counts(self) -> tuple[int, int, int]:
        return tuple(self.entry.adapter.counts())

    def told(self) -> list[tuple[str, str, str]]:
        """All state changes so far: from, to, cause."""
        assert self.panel.flush(PATIENCE_S)
        events = self.server.events(type="state_change")
        assert [e["seq"] for e in events] == sorted({e["seq"] for e in events})
        return [(e["from"], e["to"], e["cause"]) for e in events]


def until_let_through(call: Callable[[], Any], refused: type[Exception]) -> Any:
    """What the first call answers that is not refused: the wait was a millisecond."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return call()
        except refused:
            assert time.monotonic() < deadline, "refused for ever"
