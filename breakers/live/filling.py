"""Reads the board into views: for all that wait for the same part of it at once, and page by page, so that changes are
told in between, however many come with a search of their own and however large the board is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

import msgspec

from breakers.db import Connection, Pool
from breakers.live import board
from breakers.live.match import Limits, Match
from breakers.live.view import View

PAGE = 1000
"""Breakers; with twenty instances each they are read in a tenth of a second."""
_Part = tuple[Match, Limits]


class Filling:
    """`reading` is held while a page is read and put into views; `begin` is called before the first page of each
    reading, and `note` with each page."""

    def __init__(
        self,
        *,
        pool: Pool,
        reading: asyncio.Lock,
        begin: Callable[[Connection], Awaitable[None]],
        note: Callable[[Iterable[board.Row]], None],
    ) -> None:
        self._pool = pool
        self._reading = reading
        self._begin = begin
        self._note = note
        self._turn = asyncio.Lock()
        """Of all readings one waits for its next page: whoever tells of changes comes before the others."""
        self._waiting: dict[_Part, tuple[asyncio.Task[None], list[View]]] = {}
        """By what is to be read, for whom, as long as that has not begun."""
        self._under_way: set[asyncio.Task[None]] = set()

    def fill(self, view: View) -> asyncio.Task[None]:
        """The reading that will have filled it; what the database raises, it raises."""
        # What is searched for, and the states, are chosen from what was read.
        match = msgspec.structs.replace(view.chosen.match, state="", q="")
        part = match, view.chosen.limits
        if part not in self._waiting:
            reading = asyncio.create_task(self._read(part), name="hub reading")
            self._waiting[part] = reading, []
            self._under_way.add(reading)
            reading.add_done_callback(self._over)
        reading, views = self._waiting[part]
        views.append(view)
        return reading

    def stop(self) -> None:
        for reading in self._under_way:
            reading.cancel()

    def _over(self, reading: asyncio.Task[None]) -> None:
        self._under_way.discard(reading)
        if not reading.cancelled():
            reading.exception()  # those who wait hear of it, and nobody may

    async def _read(self, part: _Part) -> None:
        try:
            async with self._turn, self._reading:
                # Whoever types asks for something else before it is their turn.
                if not any(view.is_wanted for view in self._waiting[part][1]):
                    del self._waiting[part]
                    return
                async with self._pool.connection() as connection:
                    await self._begin(connection)
                    views = [view for view in self._waiting.pop(part)[1] if view.is_wanted]
                    for view in views:
                        view.begin_fill()
                    rows = await self._page(connection, part, views, after=0)
        except BaseException:
            if self._waiting.get(part, (None,))[0] is asyncio.current_task():
                del self._waiting[part]
            raise
        while len(rows) == PAGE and any(view.is_wanted for view in views):
            async with self._turn, self._reading, self._pool.connection() as connection:
                rows = await self._page(connection, part, views, after=rows[-1].id)
        for view in views:
            view.end_fill()

    async def _page(
        self, connection: Connection, part: _Part, views: Sequence[View], *, after: int
    ) -> list[board.Row]:
        rows = await board.read(connection, match=part[0], limits=part[1], after=after, limit=PAGE)
        for view in views:
            # For each of maybe hundreds a thousand rows are looked at, in a millisecond.
            view.fill(rows)
            await asyncio.sleep(0)
        self._note(rows)
        return rows
