"""I8: whatever is told, lost, late or left unread, each socket's board becomes that of the database."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from breakers.db import Connection, Pool, make_pool
from breakers.ingest.effects import Effects
from breakers.ingest.jobs import Batch
from breakers.ingest.queue import Writer
from breakers.live import board, filling, hub, view
from breakers.live.match import Filter, Limits, Match
from breakers.live.view import Reader
from breakers.states import State
from breakers.wire import Happened, Summary
from tests.support.make import make_breaker

_services = itertools.count(1)
_STATES = (State.CLOSED, State.OPEN, State.HALF_OPEN)


@dataclass(frozen=True)
class Commit:
    """An event is committed; whether this process hears of it at once is up to Redis."""

    breaker: str
    instance: str
    to: State
    heard: bool


@dataclass(frozen=True)
class LongTransaction:
    """Changes a breaker and stays open, so that later changes commit before it; the next one ends it."""


@dataclass(frozen=True)
class Join:
    """A socket subscribes: a new one (None), or the n-th open one once more. An eager one reads all the time, the
    others on `Read` alone: to the hub, they are slow. What follows may happen before the board was read for it."""

    socket: int | None
    match: int
    limits: int
    eager: bool = True
    waits: bool = True


@dataclass(frozen=True)
class Leave:
    socket: int


@dataclass(frozen=True)
class Read:
    """A socket takes up to `frames` of what it is owed."""

    socket: int
    frames: int


_numbers = st.integers(0, 5)
_commits = st.builds(
    Commit,
    breaker=st.sampled_from(["x", "y"]),
    instance=st.just("i1") | st.sampled_from(["i1", "i2"]),
    to=st.sampled_from(_STATES),
    heard=st.sampled_from([True, True, False]),
)
# Most of what happens are events.
_steps = st.lists(
    st.one_of(*[_commits] * 8)
    | st.builds(LongTransaction)
    | st.builds(
        Join,
        socket=st.none() | _numbers,
        match=_numbers,
        limits=_numbers,
        eager=st.booleans(),
        waits=st.booleans(),
    )
    | st.builds(Leave, socket=_numbers)
    | st.builds(Read, socket=_numbers, frames=st.integers(1, 4)),
    min_size=15,
    max_size=40,
)


class Wire:
    """What the hub hears; a message that is not passed on is one that Redis lost."""

    def __init__(self) -> None:
        self.handlers: dict[str, Callable[[Mapping[str, Any]], None]] = {}

    def on(self, kind: str, handler: Callable[[Mapping[str, Any]], None]) -> None:
        self.handlers[kind] = handler


@dataclass
class Socket:
    """A board kept by the frames alone, as any client keeps it."""

    match: Match
    limits: Limits
    reader: Reader = field(default_factory=Reader)
    board: dict[str, Any] = field(default_factory=dict)
    version: int | None = None
    reading: asyncio.Task[None] | None = None
    joining: asyncio.Task[None] | None = None

    async def has_joined(self) -> None:
        if self.joining is not None:
            await self.joining

    def read_on(self) -> None:
        async def read() -> None:
            while True:
                self.take(await self.reader.next())

        self.reading = asyncio.create_task(read())

    async def read_no_more(self) -> None:
        """Raises what was wrong with what it read."""
        if self.reading is not None:
            self.reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.reading

    def take(self, text: str) -> None:
        frame = msgspec.json.decode(text)
        told = frame.get("breakers", frame.get("changed"))
        if frame["type"] == "snapshot":
            assert (frame["part"], frame["parts"]) == (1, 1)
            self.board = {}
        else:
            assert self.version is not None, "a change came before its snapshot"
            assert frame["version"] == self.version + 1, "a gap in versions"
        self.version = frame["version"]
        self.board |= {item["id"]: item for item in told}
        for id in frame.get("removed", ()):
            # To remove what nobody had been shown would tell a reader of what it may not see.
            del self.board[id]
        chosen = Filter(self.match, self.limits)
        assert all(msgspec.convert(item, Summary) in chosen for item in told)

    async def catch_up(self, wanted: dict[str, Any]) -> None:
        while self.version is None or self.board != wanted:
            self.take(await self.reader.next())


class World:
    """A hub on the real database, the sockets it serves, and a writer of its own."""

    def __init__(self, pool: Pool, service: str, late: int) -> None:
        self._pool = pool
        self._service = service
        self._late = late
        self._wire = Wire()
        self._hub = hub.Hub(pool=pool, bus=self._wire)  # type: ignore[arg-type]
        self._writer = Writer(pool, committed=self._committed)
        self._heard = True
        self._open: tuple[AsyncExitStack, Connection] | None = None
        self._matches = (
            Match(service=service),
            Match(service=service, state="open"),
            Match(service=service, state="closed,half_open"),
            Match(service=service, q="y"),
        )
        self._limits = (
            Limits(),
            Limits(services=frozenset([service])),
            Limits(services=frozenset(["another"])),
            Limits(environments=frozenset(["prod"])),
        )
        self.sockets: list[Socket] = []

    async def run(self, steps: list[Any]) -> None:
        self._hub.start()
        self._writer.start()
        try:
            for match in range(len(self._matches)):
                await self._do(Join(socket=None, match=match, limits=0, eager=match > 0))
            for step in steps:
                await self._do(step)
            await self._end_transaction()
            async with asyncio.timeout(5):
                for socket in self.sockets:
                    await socket.has_joined()
                    await socket.read_no_more()
                    await socket.catch_up(await self._stored(socket))
        finally:
            await self._end_transaction()
            await self._writer.stop()
            await self._hub.stop()

    async def _do(self, step: Any) -> None:
        match step:
            case Commit():
                await self._commit(step)
            case LongTransaction() if self._open is None:
                await self._begin_transaction()
            case LongTransaction():
                await self._end_transaction()
            case Join(socket=number):
                await self._join(step, number)
            case Leave(socket=number) if self.sockets:
                socket = self.sockets.pop(number % len(self.sockets))
                if socket.joining is not None:
                    # It goes away while the board is read for it.
                    socket.joining.cancel()
                await socket.read_no_more()
                self._hub.leave(socket.reader)
            case Read(socket=number, frames=frames) if self.sockets:
                socket = self.sockets[number % len(self.sockets)]
                for _ in range(0 if socket.reading else frames):
                    try:
                        async with asyncio.timeout(0.005):
                            socket.take(await socket.reader.next())
                    except TimeoutError:
                        break

    async def _join(self, step: Join, number: int | None) -> None:
        match = self._matches[step.match % len(self._matches)]
        if number is None or not self.sockets:
            socket = Socket(match, self._limits[step.limits % len(self._limits)])
            self.sockets.append(socket)
            if step.eager:
                socket.read_on()
        else:
            socket = self.sockets[number % len(self.sockets)]
            await socket.has_joined()

        async def join() -> None:
            await self._hub.join(socket.reader, match, socket.limits)
            socket.match, socket.version = match, None

        socket.joining = asyncio.create_task(join())
        if step.waits:
            await socket.has_joined()

    async def _commit(self, step: Commit) -> None:
        self._heard = step.heard
        happened = Happened(
            environment="prod",
            service=self._service,
            type="state_change",
            named=False,
            timed=True,
            event_id=f"e{next(_services)}",
            breaker=step.breaker,
            instance=step.instance,
            to=step.to,
            occurred_at=timezone.now(),
        )
        await self._writer.submit(Batch(events=[happened]))

    async def _committed(self, effects: Effects) -> None:
        if self._heard and effects.changed:
            self._wire.handlers["changed"]({"breakers": sorted(effects.changed)})

    async def _begin_transaction(self) -> None:
        stack = AsyncExitStack()
        connection = await stack.enter_async_context(self._pool.connection())
        await stack.enter_async_context(connection.transaction())
        await connection.execute("INSERT INTO touched (breakers) VALUES (%s)", [[self._late]])
        await connection.execute(
            "UPDATE breaker SET target = coalesce(target, '') || '+', change = change + 1 WHERE id = %s",
            [self._late],
        )
        self._open = stack, connection

    async def _end_transaction(self) -> None:
        if self._open is not None:
            stack, _ = self._open
            self._open = None
            await stack.aclose()

    async def _stored(self, socket: Socket) -> dict[str, Any]:
        async with self._pool.connection() as connection:
            rows = await board.read(connection, match=socket.match, limits=socket.limits)
        return {str(row.id): msgspec.json.decode(msgspec.json.encode(row.summary)) for row in rows}


@pytest.mark.django_db(transaction=True)
@hypothesis_settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=_steps)
def test_every_board_becomes_that_of_the_database(
    steps: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Small bounds, so that a handful of steps reaches what takes a fleet in life.
    monkeypatch.setattr(view, "BEHIND_MAX", 2)
    monkeypatch.setattr(filling, "PAGE", 2)
    monkeypatch.setattr(hub, "READ_MAX", 2)
    monkeypatch.setattr(hub, "FRAME_EVERY_S", 0.001)
    monkeypatch.setattr(hub, "REREAD_EVERY_S", 0.02)
    service = f"i8-{next(_services)}"
    late = make_breaker("late", service=service)

    async def run() -> None:
        async with make_pool(size=4) as pool:
            await World(pool, service, late.pk).run(steps)

    asyncio.run(run())
