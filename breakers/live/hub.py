"""The hub of a web process: one reading of what changed, one encoding, many sockets.

Sockets of equal match and rights share a view, with one version and one encoding of each frame. A
change goes out at once, and then at most one frame each 50 ms. What Redis did not tell is found in
PostgreSQL each second. The mechanism of a slow reader caught up by a fresh snapshot, instead of a
growing queue, is known from market-data feeds as conflation.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

import structlog

from breakers.db import Connection, Pool
from breakers.live import board, frames
from breakers.live.bus import Bus
from breakers.live.filling import Filling
from breakers.live.incidents import incident_within
from breakers.live.match import Filter, Limits, Match
from breakers.live.view import Reader, View, encode, owe_all
from breakers.loops import AWAY, cancel, for_ever
from breakers.sql import statements

_log = structlog.get_logger(__name__)
_SQL = statements("board")

FRAME_EVERY_S = 0.05
REREAD_EVERY_S = 1.0
# Who was blind for longer than transactions are remembered in `touched` (5 min) must read everything.
REFILL_AFTER_S = 120.0
BLIND_AFTER_S = 3.0
# Reading more rows than this by id costs more than it saves; the rest waits for the next frame.
READ_MAX = 5000
# Changes remembered so that a long transaction elsewhere does not make us read the same again.
SEEN_MAX = 200_000
_GONE = 2**63
"""The change number of a breaker that was removed: above all others, for its id never comes again."""


class Hub:
    """All views of this process."""

    def __init__(self, *, pool: Pool, bus: Bus) -> None:
        self._pool = pool
        self._views: dict[tuple[Match, Limits], View] = {}
        self._reading = asyncio.Lock()
        """Held while rows are read and put where they belong, so that none is overtaken by an older one."""
        self._filling = Filling(
            pool=pool, reading=self._reading, begin=self._begin, note=self._note_ages
        )
        self._changed: set[int] = set()
        self._wake = asyncio.Event()
        self._xid: str | None = None
        self._seen: dict[int, int] = {}
        self._rated_until: dict[int, float] = {}
        """When the rates of a breaker will be too old to be shown; monotonic."""
        self._reread_at = 0.0
        self._tasks: list[asyncio.Task[NoReturn]] = []
        bus.on("changed", lambda message: self.changed(message["breakers"]))
        bus.on("incident", self._incident)

    @property
    def sockets(self) -> int:
        return sum(len(view.readers) for view in self._views.values())

    @property
    def in_sight(self) -> bool:
        """Whether the database was read within the last seconds: only then is the picture live."""
        return time.monotonic() - self._reread_at < BLIND_AFTER_S

    def start(self) -> None:
        self._tasks = [
            asyncio.create_task(for_ever(self._tell, name="hub", every_s=FRAME_EVERY_S)),
            asyncio.create_task(for_ever(self._reread, name="hub reread", every_s=REREAD_EVERY_S)),
        ]

    async def stop(self) -> None:
        await cancel(self._tasks)
        self._filling.stop()

    def changed(self, breaker_ids: Sequence[int]) -> None:
        """These may differ; nobody to tell, nothing to do."""
        if self._views:
            self._changed.update(breaker_ids)
            self._wake.set()

    async def join(self, reader: Reader, match: Match, limits: Limits) -> None:
        """Moves the reader to the view of this match; a snapshot comes first. Raises Invalid.

        Database errors leave the reader where it was.
        """
        chosen = Filter(match, limits)
        view = self._views.get((match, limits))
        if view is None:
            # Listed before it is read: what commits meanwhile is told, and told again at worst.
            view = self._views[match, limits] = View(chosen)
            view.reading = self._filling.fill(view)
        view.joining += 1
        try:
            if view.reading is not None:
                await asyncio.shield(view.reading)
            self.leave(reader)
            view.readers.add(reader)
            reader.view = view
            reader.owe_snapshot()
        finally:
            view.joining -= 1
            self._drop_if_unwanted(view)

    async def _begin(self, connection: Connection) -> None:
        """Before the first reading: from here on changes are looked for."""
        if self._xid is None:
            self._xid = (await self._changed_since(connection, None))[0]

    def _note_ages(self, rows: Iterable[board.Row]) -> None:
        now = time.monotonic()
        for row in rows:
            if row.rated_for_s is not None:
                self._rated_until[row.id] = now + row.rated_for_s
            else:
                self._rated_until.pop(row.id, None)

    def _grown_old(self) -> list[int]:
        """The breakers whose rates have done so, once."""
        now = time.monotonic()
        if not self._views:
            self._rated_until.clear()
        old = [id for id, until in self._rated_until.items() if until <= now]
        for id in old:
            del self._rated_until[id]
        return old

    def leave(self, reader: Reader) -> None:
        view = reader.view
        if view is None:
            return
        view.readers.discard(reader)
        reader.view = None
        self._drop_if_unwanted(view)

    def _drop_if_unwanted(self, view: View) -> None:
        key = view.chosen.match, view.chosen.limits
        if not view.is_wanted and self._views.get(key) is view:
            del self._views[key]

    async def _tell(self) -> None:
        await self._wake.wait()
        self._wake.clear()
        ids = [self._changed.pop() for _ in range(min(len(self._changed), READ_MAX))]
        try:
            await self._tell_of(ids)
        except BaseException:
            self._changed.update(ids)
            raise
        finally:
            if self._changed:
                self._wake.set()

    async def _tell_of(self, ids: Sequence[int]) -> None:
        if not ids or not self._views:
            return
        try:
            async with self._reading, self._pool.connection() as connection:
                rows = {row.id: row for row in await board.read(connection, ids=ids)}
        except AWAY:
            raise
        except Exception:  # a row that cannot be read is not the others' fault: look for it
            if len(ids) == 1:
                _log.exception("breaker not told", breaker=ids[0])
                return
            middle = len(ids) // 2
            await self._tell_of(ids[:middle])
            await self._tell_of(ids[middle:])
            return
        self._note_ages(rows.values())
        read: dict[int, tuple[int, board.Row | None, bytes]] = {}
        if len(self._seen) > SEEN_MAX:
            self._seen.clear()
        for id in sorted(ids):
            row = rows.get(id)
            self._seen[id] = _GONE if row is None else row.change
            read[id] = (row.change, row, encode(row.summary)) if row else (0, None, b"")
        for view in list(self._views.values()):
            try:
                frame = view.apply(read)
            except Exception:  # one view's fault is not the others'; a snapshot puts it right
                _log.exception("view not told", match=view.chosen.match)
                view.begin_again()
                continue
            if frame is not None:
                owe_all(view, frame)

    async def _reread(self) -> None:
        """What changed, by the database itself: a transaction still open is looked at again next time."""
        async with self._pool.connection() as connection:
            self._xid, changed = await self._changed_since(connection, self._xid)
        if time.monotonic() - self._reread_at > REFILL_AFTER_S:
            await self._refill()
        self._reread_at = time.monotonic()
        self.changed([id for id, change in changed if self._seen.get(id, -1) < change])
        self.changed(self._grown_old())

    async def _refill(self) -> None:
        """Reads all views anew: what changed meanwhile is no longer on record."""
        # Those that are being read are so by now: what changed since they began is on record.
        views = [
            view for view in self._views.values() if view.reading is None or view.reading.done()
        ]
        for view in views:
            view.reading = self._filling.fill(view)
        await asyncio.gather(*{view.reading for view in views if view.reading is not None})
        for view in views:
            view.begin_again()

    @staticmethod
    async def _changed_since(
        connection: Connection, xid: str | None
    ) -> tuple[str, list[tuple[int, int]]]:
        """Where to read on from, and (id, change) of the breakers changed since `xid`."""
        cursor = await connection.execute(_SQL["changed_since"], {"xid": xid})
        found = await cursor.fetchall()
        return found[0][0], [
            (id, _GONE if change is None else change) for _, id, change in found if id is not None
        ]

    def _incident(self, message: Mapping[str, Any]) -> None:
        """To each reader the breakers within its limits, and nothing where none is; encoded once for all of
        equal limits."""
        told: dict[frozenset[str] | None, str | None] = {}
        for view in self._views.values():
            limits = view.chosen.limits
            if (
                limits.environments is not None
                and message["environment"] not in limits.environments
            ):
                continue
            if limits.services not in told:
                within = incident_within(message, limits.services)
                told[limits.services] = None if within is None else frames.incident(within)
            frame = told[limits.services]
            if frame is not None:
                owe_all(view, frame)
