"""The hub of a web process: one reading of what changed, one encoding, many sockets.

Sockets of equal match and rights share a view, with one version and one encoding of each frame. A
change goes out at once, and then at most one frame each 50 ms. What Redis did not tell is found in
PostgreSQL each second. The mechanism of a slow reader caught up by a fresh snapshot, instead of a
growing queue, is known from market-data feeds as conflation.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

import msgspec
import structlog

from breakers.asgi import WriteNow
from breakers.db import Connection, Pool
from breakers.live import board, frames
from breakers.live.bus import Bus
from breakers.live.incidents import incident_within
from breakers.live.match import Filter, Limits, Match
from breakers.loops import AWAY, cancel, for_ever
from breakers.sql import statements

_log = structlog.get_logger(__name__)
_SQL = statements("board")
_encode = msgspec.json.Encoder().encode

FRAME_EVERY_S = 0.05
REREAD_EVERY_S = 1.0
# Who was blind for longer than transactions are remembered in `touched` (5 min) must read everything.
REFILL_AFTER_S = 120.0
BLIND_AFTER_S = 3.0
# Frames that may wait for one socket: about a second and a half of steady change.
BEHIND_MAX = 32
# Reading more rows than this by id costs more than it saves; the rest waits for the next frame.
READ_MAX = 5000
# Changes remembered so that a long transaction elsewhere does not make us read the same again.
SEEN_MAX = 200_000
_GONE = 2**63
"""The change number of a breaker that was removed: above all others, for its id never comes again."""


class Reader:
    """What one socket is owed. The socket's own task waits for `next` and sends; the hub never waits.

    With `write_now`, a socket that keeps up is written to without its task, which costs a third as much. The task
    is at rest then: what it took with `next` is sent when it asks again, so that no frame overtakes another.
    """

    def __init__(self, write_now: WriteNow | None = None) -> None:
        self.view: View | None = None
        self._write_now = write_now
        self._is_at_rest = False
        self._owed: deque[str] = deque()
        self._more = asyncio.Event()
        self._afresh = False

    def owe_all(self, frame: str, bytes_of_it: bytes) -> None:
        """Owes a frame that many are owed, whose bytes were made once."""
        if (
            self._is_at_rest
            and not self._owed
            and not self._afresh
            and self._write_now is not None
            and self._write_now(bytes_of_it)
        ):
            return
        self.owe(frame)

    def owe(self, frame: str) -> None:
        if self._afresh:
            return
        if len(self._owed) >= BEHIND_MAX:
            self.owe_snapshot()
            return
        self._owed.append(frame)
        self._more.set()

    def owe_snapshot(self) -> None:
        """Forgets what was owed: when the socket is ready, it gets the whole view as it is then."""
        self._owed.clear()
        self._afresh = True
        self._more.set()

    async def next(self) -> str:
        """The next frame to send; the one before has been sent."""
        while True:
            if self._owed:
                self._is_at_rest = False
                return self._owed.popleft()
            if self._afresh and self.view is not None:
                self._afresh = False
                self._owed.extend(self.view.snapshot())
                continue
            self._is_at_rest = True
            self._more.clear()
            await self._more.wait()


class View:
    """The breakers that match, as last told to the view's sockets."""

    def __init__(self, chosen: Filter) -> None:
        self.chosen = chosen
        self.version = 0
        self.readers: set[Reader] = set()
        self._known: dict[int, tuple[int, bytes]] = {}
        self._snapshot: list[str] | None = None

    def fill(self, rows: Iterable[board.Row]) -> None:
        self._known = {
            row.id: (row.change, _encode(row.summary)) for row in rows if row.summary in self.chosen
        }
        self._snapshot = None

    def snapshot(self) -> list[str]:
        """The frames of the whole view at its version; encoded once for all that ask."""
        if self._snapshot is None:
            summaries = [self._known[id][1] for id in sorted(self._known)]
            self._snapshot = frames.snapshot(self.version, summaries)
        return self._snapshot

    def apply(self, read: Mapping[int, tuple[int, board.Row | None, bytes]]) -> str | None:
        """Takes in what was read, and gives the frame that tells of it, if there is anything to tell."""
        changed, removed = [], []
        for id, (change, row, encoded) in read.items():
            known = self._known.get(id)
            # With the same number it may differ by time alone: its rates have grown old.
            if (
                row is not None
                and known is not None
                and (change < known[0] or known == (change, encoded))
            ):
                continue
            if row is not None and row.summary in self.chosen:
                self._known[id] = (change, encoded)
                changed.append(encoded)
            elif known is not None:
                del self._known[id]
                removed.append(id)
        if not changed and not removed:
            return None
        self.version += 1
        self._snapshot = None
        return frames.changes(self.version, changed, removed)

    def begin_again(self) -> None:
        """Each reader gets the whole view once more."""
        self._snapshot = None
        for reader in self.readers:
            reader.owe_snapshot()


class Hub:
    """All views of this process."""

    def __init__(self, *, pool: Pool, bus: Bus) -> None:
        self._pool = pool
        self._views: dict[tuple[Match, Limits], View] = {}
        self._filling = asyncio.Lock()
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
        async with self._filling:
            view = self._views.get((match, limits))
            if view is None:
                view = View(chosen)
                # Listed before it is read: what commits meanwhile is told, and told again at worst.
                self._views[match, limits] = view
                try:
                    async with self._pool.connection() as connection:
                        if self._xid is None:
                            self._xid = (await self._changed_since(connection, None))[0]
                        await self._fill(view, connection)
                except BaseException:
                    del self._views[match, limits]
                    raise
        self.leave(reader)
        self._views[match, limits] = view
        view.readers.add(reader)
        reader.view = view
        reader.owe_snapshot()

    async def _fill(self, view: View, connection: Connection) -> None:
        match, limits = view.chosen.match, view.chosen.limits
        rows = await board.read(connection, match=match, limits=limits)
        view.fill(rows)
        self._note_ages(rows)

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
        if not view.readers:
            self._views.pop((view.chosen.match, view.chosen.limits), None)

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
            async with self._filling, self._pool.connection() as connection:
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
            read[id] = (row.change, row, _encode(row.summary)) if row else (0, None, b"")
        for view in list(self._views.values()):
            try:
                frame = view.apply(read)
            except Exception:  # one view's fault is not the others'; a snapshot puts it right
                _log.exception("view not told", match=view.chosen.match)
                view.begin_again()
                continue
            if frame is not None:
                _owe_all(view, frame)

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
        async with self._filling, self._pool.connection() as connection:
            for view in list(self._views.values()):
                await self._fill(view, connection)
                for reader in view.readers:
                    reader.owe_snapshot()

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
                _owe_all(view, frame)


def _owe_all(view: View, frame: str) -> None:
    bytes_of_it = frames.on_the_wire(frame)
    for reader in view.readers:
        reader.owe_all(frame, bytes_of_it)
