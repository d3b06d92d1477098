"""How many bytes of bodies a process holds at once: it would take in as many as there are connections."""

from __future__ import annotations

import asyncio

from breakers.budget import Budget
from breakers.errors import Overloaded

BYTES_MAX = 64 * 1024 * 1024
FREE_MAX = 64 * 1024
"""A body up to this is not counted: as much waits in the server for each connection anyway, and so those who send
large ones slowly are never in the way of an override or a few events."""
ROOM_WITHIN_S = 5.0


class NoRoom(Overloaded):
    """Others are being answered, and none of them was done in time."""


class Bodies:
    """The bytes that some applications share, first come, first served."""

    def __init__(self) -> None:
        self._budget = Budget(BYTES_MAX)

    def share(self) -> Share:
        return Share(self)

    async def take(self, count: int) -> None:
        """Raises NoRoom after ROOM_WITHIN_S."""
        try:
            async with asyncio.timeout(ROOM_WITHIN_S):
                await self._budget.take(count)
        except TimeoutError:
            raise NoRoom("Too much is being taken in.", retry_after=2) from None

    def give_back(self, count: int) -> None:
        self._budget.give_back(count)


class Share:
    """What one request holds of them, until its end."""

    __slots__ = ("_of", "held")

    def __init__(self, of: Bodies) -> None:
        self._of = of
        self.held = 0

    def __enter__(self) -> Share:
        return self

    def __exit__(self, *_: object) -> None:
        if self.held:
            self.keep(0)

    async def take(self, count: int) -> None:
        """Once, and all that may be needed: those who hold some and wait for more would wait for each other. Raises
        NoRoom."""
        assert not self.held
        await self._of.take(count)
        self.held = count

    def keep(self, count: int) -> None:
        """Gives back what is held beyond `count`."""
        if self.held > count:
            self._of.give_back(self.held - count)
            self.held = count
