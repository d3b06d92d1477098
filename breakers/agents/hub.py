"""All agents of this process: what is wished is read once a service and told to each of them, whether it has a
socket or waits in a call.

Redis says at once that something changed; each second the numbers in PostgreSQL say so for certain.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict, deque
from collections.abc import Mapping
from typing import Any, NoReturn, Protocol
from uuid import UUID

import structlog
from psycopg.rows import dict_row

from breakers.agents.clock import ClockOffset
from breakers.agents.session import Session, warnings_of
from breakers.agents.telling import Encoded, Telling
from breakers.asgi import WriteNow
from breakers.closing import OVERLOADED, RESTARTING, TAKEN, Close
from breakers.db import Connection, Pool
from breakers.desired.converge import Wish
from breakers.errors import Overloaded
from breakers.ingest.jobs import Disconnect
from breakers.ingest.pgtext import array
from breakers.ingest.queue import Writer
from breakers.live.bus import Bus
from breakers.loops import AWAY, cancel, for_ever
from breakers.sql import statements
from breakers.wire import ServerFrame, Welcome

_log = structlog.get_logger(__name__)
_SQL = statements("desired")

HEARTBEAT_S = 10
LOST_AFTER_S = 60
_HEARD_EVERY_S = 2.0
_POLL_EVERY_S = 1.0
# A whole hello's breakers, and as many revisions again.
_OWED_MAX = 2000
_HEARD = """
    UPDATE instance i SET last_seen = now(), connected = true,
        clock_behind_s = coalesce(heard.clock_behind_s, i.clock_behind_s)
    FROM unnest(%s::bigint[], %s::uuid[], %s::float8[]) AS heard (id, session, clock_behind_s)
    WHERE i.id = heard.id AND i.session = heard.session AND i.lost_at IS NULL AND i.retired_at IS NULL
    RETURNING i.session
"""


class Listener(Protocol):
    """Who is told what is wished in a service."""

    def tell(self, telling: Telling) -> None: ...


class AgentSocket:
    """One agent's socket: its conversation, and the frames that it is owed, in order.

    With `write_now`, one that keeps up is written to without its task: of a fleet that is told at once, a thousand
    would be woken. The task is at rest then: what it took with `next` is sent when it asks again, so that no frame
    overtakes another.
    """

    def __init__(self, session: Session, write_now: WriteNow | None = None) -> None:
        self.session = session
        self.welcomed = False
        self.heard_at = time.monotonic()
        self.clock = ClockOffset(since=self.heard_at)
        self.heard = False
        self.connected = True
        self.ended: asyncio.Future[Close] = asyncio.get_running_loop().create_future()
        """Why the conversation is to end, once anyone has found a reason."""
        self._write_now = write_now
        self._is_at_rest = False
        self._owed: deque[str] = deque()
        self._more = asyncio.Event()

    def owe(self, frame: ServerFrame) -> None:
        self._owe(Encoded.of(frame))

    def _owe(self, frame: Encoded) -> None:
        if (
            self._is_at_rest
            and not self._owed
            and self._write_now is not None
            and self._write_now(frame.on_the_wire)
        ):
            return
        if len(self._owed) >= _OWED_MAX:
            self.close(Close(OVERLOADED, "too slow to be told"))
            return
        self._owed.append(frame.text)
        self._more.set()

    def tell(self, telling: Telling) -> None:
        """Owes what is news to it; nothing before its welcome, which says it all."""
        introduced = self.session.introduced
        if not self.welcomed or introduced is None:
            return
        try:
            for wish, name in self.session.unsaid(telling.wishes):
                self._owe(telling.frame(wish, name=name, instance=introduced.instance))
        except Exception:  # it starts afresh: its welcome has all that is wished
            _log.exception("agent not told", instance=self.session.introduced)
            self.close(Close(RESTARTING, "could not be told; say hello again"))

    def close(self, close: Close) -> None:
        """Ends the conversation, from whichever task finds the reason; the first reason stays."""
        if not self.ended.done():
            self.ended.set_result(close)

    async def next(self) -> str:
        """The next frame to send; the one before has been sent."""
        while True:
            if self._owed:
                self._is_at_rest = False
                return self._owed.popleft()
            self._is_at_rest = True
            self._more.clear()
            await self._more.wait()


class AgentHub:
    """The sockets, and whoever else listens, by service."""

    def __init__(self, *, pool: Pool, bus: Bus, writer: Writer) -> None:
        self._pool = pool
        self._bus = bus
        self._writer = writer
        self._sockets: dict[int, set[AgentSocket]] = defaultdict(set)
        self._others: dict[int, set[Listener]] = defaultdict(set)
        self._read_to: dict[int, int] = {}
        self._dirty: set[int] = set()
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[NoReturn]] = []
        self.is_ending = False
        """The server ends, and with it all sockets: that one ends says nothing of its agent any more."""
        bus.on("desired", lambda message: self._mark(message["services"]))
        bus.on("taken", self._on_taken)

    def start(self) -> None:
        self._tasks = [
            asyncio.create_task(for_ever(self._tell, name="desired")),
            asyncio.create_task(for_ever(self._poll, name="desired poll", every_s=_POLL_EVERY_S)),
            asyncio.create_task(
                for_ever(self._note_heard, name="heartbeats", every_s=_HEARD_EVERY_S)
            ),
        ]

    async def stop(self) -> None:
        self.is_ending = True
        for socket in self.sockets():
            socket.close(Close(RESTARTING, "the server is restarting"))
        await cancel(self._tasks)

    def sockets(self) -> list[AgentSocket]:
        return [socket for sockets in self._sockets.values() for socket in sockets]

    async def join(self, socket: AgentSocket) -> None:
        """Lists the socket, and only then reads what is wished, so that nothing falls between.

        The welcome is owed afterwards. Raises what the database raises.
        """
        introduced = socket.session.introduced
        assert introduced is not None
        service = introduced.service_id
        self._sockets[service].add(socket)
        if introduced.taken_from is not None:
            self._bus.say("taken", session=introduced.taken_from.hex)
        socket.welcomed = False
        async with self._pool.connection() as connection:
            wishes = await _wishes(connection, service, after=0)
        desired = socket.session.welcome(wishes)
        warnings = warnings_of(introduced)
        socket.owe(Welcome(heartbeat=HEARTBEAT_S, desired=desired, warnings=warnings))
        socket.welcomed = True
        # What was told to the others between listing and reading is told again to be sure.
        self._read_to.pop(service, None)
        self._mark([service])

    def leave(self, socket: AgentSocket) -> None:
        introduced = socket.session.introduced
        if introduced is None:
            return
        sockets = self._sockets.get(introduced.service_id)
        if sockets is not None:
            sockets.discard(socket)
            if not sockets:
                del self._sockets[introduced.service_id]
                self._read_to.pop(introduced.service_id, None)

    def listen(self, service: int, listener: Listener) -> None:
        """It is told of each change that commits from now on, until it leaves."""
        self._others[service].add(listener)

    def unlisten(self, service: int, listener: Listener) -> None:
        # How far the service was read is kept: whoever comes next has read on from there by itself.
        self._others[service].discard(listener)
        if not self._others[service]:
            del self._others[service]

    async def read(self, service: int, *, after: int) -> list[Wish]:
        """What is wished in a service, where it changed after that number. Raises what the database raises."""
        async with self._pool.connection() as connection:
            return await _wishes(connection, service, after=after)

    def _services(self) -> set[int]:
        return self._sockets.keys() | self._others.keys()

    def _mark(self, services: list[int]) -> None:
        self._dirty |= self._services() & set(services)
        if self._dirty:
            self._wake.set()

    def _on_taken(self, message: Mapping[str, Any]) -> None:
        taken = UUID(message["session"])
        for socket in self.sockets():
            if socket.session.id == taken:
                socket.close(Close(TAKEN, "this instance is connected elsewhere"))

    async def _tell(self) -> None:
        await self._wake.wait()
        self._wake.clear()
        dirty, self._dirty = self._dirty, set()
        try:
            async with self._pool.connection() as connection:
                while dirty:
                    service = min(dirty)
                    try:
                        await self._tell_service(connection, service)
                    except AWAY:
                        raise
                    except (
                        Exception
                    ):  # one service's fault is not the others'; the poll comes back to it
                        _log.exception("service not told", service=service)
                    dirty.discard(service)
        finally:
            self._mark(list(dirty))

    async def _tell_service(self, connection: Connection, service: int) -> None:
        # The number is read before the wishes: what commits between is read twice, never missed.
        cursor = await connection.execute(_SQL["numbers"], {"services": [service]})
        row = await cursor.fetchone()
        if row is None:
            return
        wishes = await _wishes(connection, service, after=self._read_to.get(service, 0))
        listeners: list[Listener] = [
            *self._sockets.get(service, ()),
            *self._others.get(service, ()),
        ]
        telling = Telling(wishes)
        for listener in listeners:
            listener.tell(telling)
        self._read_to[service] = row[1]

    async def _poll(self) -> None:
        """Finds what no message told of."""
        services = self._services()
        if not services:
            return
        async with self._pool.connection() as connection:
            cursor = await connection.execute(_SQL["numbers"], {"services": list(services)})
            numbers = await cursor.fetchall()
        self._mark([id for id, number in numbers if number > self._read_to.get(id, -1)])

    async def _note_heard(self) -> None:
        """Writes down who was heard, for all together; finds who was taken over or has gone silent."""
        now = time.monotonic()
        heard = []
        for socket in self.sockets():
            if socket.heard:
                socket.heard = False
                socket.connected = True
                heard.append(socket)
            elif now - socket.heard_at > LOST_AFTER_S:
                # Lost by now or soon: when it wakes, it is to say hello afresh.
                socket.close(Close(RESTARTING, "silent for too long"))
            elif socket.connected and now - socket.heard_at > 3 * HEARTBEAT_S:
                socket.connected = False
                self._disconnect(socket)
        if not heard:
            return
        try:
            await self._write_heard(heard)
        except BaseException:
            for socket in heard:
                socket.heard = True
            raise

    def _disconnect(self, socket: AgentSocket) -> None:
        introduced = socket.session.introduced
        assert introduced is not None
        job = Disconnect(
            instance_id=introduced.instance_id,
            session=socket.session.id,
            breakers=len(introduced.breaker_ids),
        )
        with contextlib.suppress(Overloaded):  # then its loss will tell
            self._writer.submit(job).add_done_callback(
                lambda done: done.cancelled() or done.exception()
            )

    async def _write_heard(self, heard: list[AgentSocket]) -> None:
        by_session = {socket.session.id: socket for socket in heard if socket.session.introduced}
        ids = [
            socket.session.introduced.instance_id
            for socket in by_session.values()
            if socket.session.introduced
        ]
        now = time.monotonic()
        behind = [socket.clock.behind_s(at=now) for socket in by_session.values()]
        async with self._pool.connection() as connection:
            sessions = list(map(str, by_session))
            cursor = await connection.execute(_HEARD, [array(ids), array(sessions), array(behind)])
            for (session,) in await cursor.fetchall():
                by_session.pop(session, None)
        # The rest no longer hold their instance: taken over, or lost and to be introduced again.
        if by_session:
            await self._end_those_taken(by_session)

    async def _end_those_taken(self, by_session: Mapping[UUID, AgentSocket]) -> None:
        async with self._pool.connection() as connection:
            for session, socket in by_session.items():
                introduced = socket.session.introduced
                assert introduced is not None
                cursor = await connection.execute(
                    "SELECT session FROM instance WHERE id = %s", [introduced.instance_id]
                )
                row = await cursor.fetchone()
                if row is None or row[0] in (session, None):
                    # Lost, renamed or removed meanwhile.
                    socket.close(Close(RESTARTING, "say hello again"))
                else:
                    socket.close(Close(TAKEN, "this instance is connected elsewhere"))


async def _wishes(connection: Connection, service: int, *, after: int) -> list[Wish]:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL["wishes"], {"service": service, "after": after})
        return [_wish(**row) for row in await cursor.fetchall()]


def _wish(**row: Any) -> Wish:
    row["breaker_id"] = row.pop("id")
    row["breaker"] = row.pop("name")
    # A scope may name a whole fleet, and each of it is looked up there.
    row["instances"] = None if row["instances"] is None else frozenset(row["instances"])
    row["excepted"] = frozenset(row["excepted"] or ())
    row["command_instances"] = frozenset(row["command_instances"] or ())
    return Wish(**row)
