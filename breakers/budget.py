"""So much of something at once, first come, first served."""

from __future__ import annotations

import asyncio


class Budget:
    """Whoever asks for little does not pass one that asks for much and came before. More than there is at all is had
    once nobody has any."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._taken = 0
        self._turn = asyncio.Lock()
        self._freed = asyncio.Event()

    async def take(self, count: int) -> None:
        """Waits until there is room for it. Cancelled, it has taken nothing."""
        async with self._turn:
            while self._taken and self._taken + count > self._size:
                self._freed.clear()
                await self._freed.wait()
            self._taken += count

    def give_back(self, count: int) -> None:
        self._taken -= count
        self._freed.set()
