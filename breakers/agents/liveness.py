"""Who has gone silent, and what has run out: looked for by the web processes, for they are the ones
who would have heard. Time in which none of them lived does not count as silence."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NoReturn, TypeVar

import structlog
from django.db import connections

from breakers.agents.hub import HEARTBEAT_S
from breakers.agents.retire import retire_away
from breakers.db import Connection, Pool
from breakers.desired.expire import expire_due
from breakers.desired.plan import start_due
from breakers.errors import Overloaded
from breakers.ingest.jobs import Disconnect, Job, Lose, Settle
from breakers.ingest.queue import Writer
from breakers.loops import cancel, for_ever
from breakers.sql import statements

_log = structlog.get_logger(__name__)
LOOK_EVERY_S = 5.0
QUIET_FOR_S = 3.0 * HEARTBEAT_S
EXPIRE_EVERY_S = 0.5
SWEEP_EVERY_S = 60.0
_LOST_AT_ONCE = 2_000
# A gap of three looks means that nobody was there to hear.
_TICK = """
    UPDATE watch SET ticked_at = now(),
        alive_since = CASE WHEN ticked_at < now() - interval '15 seconds' THEN now() ELSE alive_since END
"""
_BREAKERS = "(SELECT count(*) FROM breaker_instance WHERE instance_id = i.id)"
_SILENT = f"""
    SELECT id, {_BREAKERS} FROM instance i, watch
    WHERE connected IS NOT NULL AND lost_at IS NULL AND retired_at IS NULL
      AND last_seen < now() - interval '60 seconds' AND alive_since < now() - interval '60 seconds'
    ORDER BY last_seen LIMIT 500
"""  # noqa: S608, nothing in it is anybody's text
# Agents that poll, and sockets whose process was killed: who has a living socket watches that.
_QUIET = f"""
    SELECT id, session, {_BREAKERS} FROM instance i, watch
    WHERE connected AND session IS NOT NULL AND lost_at IS NULL AND retired_at IS NULL
      AND last_seen < now() - make_interval(secs => %(quiet_for_s)s)
      AND alive_since < now() - make_interval(secs => %(quiet_for_s)s)
    ORDER BY last_seen LIMIT 500
"""  # noqa: S608, nothing in it is anybody's text
_LEAVING = f"""
    SELECT i.id, {_BREAKERS} FROM instance i
    WHERE lost_at IS NULL AND retired_at IS NULL AND id IN (
        SELECT instance_id FROM breaker_instance
        WHERE (leaves_at IS NOT NULL OR left_at IS NOT NULL)
          AND (leaves_at <= now() OR greatest(at, metrics_at) > left_at + interval '5 minutes'))
    LIMIT 500
"""  # noqa: S608, nothing in it is anybody's text
_MUTE = """
    SELECT id FROM instance WHERE connected IS FALSE AND lost_at IS NULL AND retired_at IS NULL
"""
_ANY_DUE = """
    SELECT EXISTS (SELECT FROM override WHERE ended_at IS NULL AND expires_at <= clock_timestamp()),
           EXISTS (SELECT FROM planned_override WHERE ended_at IS NULL AND starts_at <= clock_timestamp())
"""
_FORGET_TOUCHED = statements("board")["forget_touched"]
_LOCK, _TOUCH = (statements("retire")[name] for name in ("lock_breakers", "touch_breakers"))


_Silent = tuple[int, int]
"""An instance, and how many breakers it has."""
Answer = TypeVar("Answer")


class Liveness:
    """The loops of a web process that watch the time."""

    def __init__(self, *, pool: Pool, writer: Writer) -> None:
        self._pool = pool
        self._writer = writer
        self._tasks: list[asyncio.Task[NoReturn]] = []
        self._mute: set[int] = set()

    def start(self) -> None:
        self._tasks = [
            # By itself: a look may take long, and that is no time in which nobody could have heard.
            asyncio.create_task(for_ever(self._tick, name="watch", every_s=LOOK_EVERY_S)),
            asyncio.create_task(for_ever(self._look, name="liveness", every_s=LOOK_EVERY_S)),
            asyncio.create_task(for_ever(self._expire, name="expiry", every_s=EXPIRE_EVERY_S)),
            asyncio.create_task(for_ever(self._sweep, name="sweep", every_s=SWEEP_EVERY_S)),
        ]

    async def stop(self) -> None:
        await cancel(self._tasks)

    async def _tick(self) -> None:
        async with self._pool.connection() as connection:
            await connection.execute(_TICK)

    async def _look(self) -> None:
        async with self._pool.connection() as connection:
            silent = await (await connection.execute(_SILENT)).fetchall()
            cursor = await connection.execute(_QUIET, {"quiet_for_s": QUIET_FOR_S})
            quiet = await cursor.fetchall()
            leaving = await (await connection.execute(_LEAVING)).fetchall()
            cursor = await connection.execute(_MUTE)
            mute = {id for (id,) in await cursor.fetchall()}
            await _touch(connection, self._mute - mute)
            self._mute = mute
        jobs = [
            Disconnect(instance_id=id, session=session, silent_for_s=QUIET_FOR_S, breakers=breakers)
            for id, session, breakers in quiet
        ]
        await self._each(jobs)
        for some in _portions(silent):
            lost = await self._lose(some)
            if lost:
                _log.info("instances lost", count=lost)
        await self._each([Settle(instance_id=id, breakers=breakers) for id, breakers in leaving])

    async def _each(self, jobs: Iterable[Job[Answer]]) -> list[Answer]:
        """The answers of those that could be done: a breaker that somebody holds delays its own instance and nothing
        else."""
        told = await asyncio.gather(*map(self._writer.commit_aside, jobs), return_exceptions=True)
        for one in told:
            if isinstance(one, BaseException) and not isinstance(one, Overloaded):
                raise one
        return [one for one in told if not isinstance(one, BaseException)]

    async def _lose(self, silent: Sequence[_Silent]) -> int:
        """How many of them were in fact lost."""
        try:
            lost = await self._writer.commit_aside(_lose_job(silent))
        except Overloaded:
            each = await self._each([_lose_job([one]) for one in silent])
            lost = [id for ids in each for id in ids]
        return len(lost)

    async def _expire(self) -> None:
        async with self._pool.connection() as connection:
            cursor = await connection.execute(_ANY_DUE)
            expires, starts = await cursor.fetchone() or (False, False)
        # Ends come first: what ends now is not to be replaced, and may be what a planned one waits for.
        if expires:
            await asyncio.to_thread(_with_a_connection, expire_due)
        if starts:
            await asyncio.to_thread(_with_a_connection, start_due)

    async def _sweep(self) -> None:
        async with self._pool.connection() as connection:
            await connection.execute(_FORGET_TOUCHED)
        retired = await asyncio.to_thread(_with_a_connection, retire_away)
        if retired:
            _log.info("instances retired", count=retired)


def _portions(silent: Iterable[_Silent]) -> Iterator[list[_Silent]]:
    """Each breaker becomes an event, and PostgreSQL has 5 s for them."""
    some: list[_Silent] = []
    breakers = 0
    for id, count in silent:
        if some and breakers + count > _LOST_AT_ONCE:
            yield some
            some, breakers = [], 0
        some.append((id, count))
        breakers += count
    if some:
        yield some


def _lose_job(silent: Sequence[_Silent]) -> Lose:
    return Lose(instance_ids=[id for id, _ in silent], breakers=sum(n for _, n in silent))


async def _touch(connection: Connection, back: set[int]) -> None:
    """Boards say who is not connected, and a mere sign of life is no change of a breaker: they are told here."""
    if not back:
        return
    async with connection.transaction():
        cursor = await connection.execute(_LOCK, {"instances": sorted(back)})
        breakers = [id for (id,) in await cursor.fetchall()]
        await connection.execute(_TOUCH, {"breakers": breakers})


def _with_a_connection(act: Callable[[], int]) -> int:
    """In a thread: Django's connection is closed again, for threads come and go."""
    try:
        return act()
    finally:
        connections.close_all()
