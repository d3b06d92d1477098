"""Runs a command where an asyncio service runs its own calls."""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import itertools
import os
from typing import Callable, Optional

PATIENCE_S = 0.05
"""A loop that does not get round to it for so long is busy: the command is tried again later."""
UNDER_WAY_S = 5.0
"""For what has begun, as a word to Redis; after that it counts as failed."""


class OnLoop:
    """The event loop of one breaker's calls, as far as it is known."""

    def __init__(self) -> None:
        self.settled = False
        self._pid = os.getpid()
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        self.settle(finally_=False)

    def settle(self, finally_: bool = True) -> None:
        """Called where calls run: on their loop, or in a thread that has none."""
        try:
            self._loop, self._pid = asyncio.get_running_loop(), os.getpid()
        except RuntimeError:
            self.settled = finally_
        else:
            self.settled = True

    @property
    def running(self) -> bool:
        # In a forked child the parent's loop still looks as if it ran.
        loop = self._loop
        return loop is not None and loop.is_running() and self._pid == os.getpid()

    def run(self, act: Callable[[], object]) -> bool:
        """Runs it, and awaits it if it answers an awaitable, between two callbacks of the loop;
        in this thread where no loop runs. Raises what it raises. False: the loop did not get
        round to it, and it has not run and will not."""
        loop = self._loop
        if loop is None or not self.running:
            return _driven(act())
        first = itertools.count().__next__  # 0 to whoever comes first: one step to all threads
        future = asyncio.run_coroutine_threadsafe(_unless_late(act, first), loop)
        try:
            future.result(PATIENCE_S)
        except concurrent.futures.TimeoutError:
            if first() == 0:
                return False
            future.result(UNDER_WAY_S)
        return True


async def _unless_late(act: Callable[[], object], first: Callable[[], int]) -> None:
    if first() == 0:
        answer = act()
        if inspect.isawaitable(answer):
            await answer


def _driven(answer: object) -> bool:
    """Without a loop: true of what needs none."""
    if not inspect.iscoroutine(answer):
        return True
    try:
        answer.send(None)
    except StopIteration:
        return True
    answer.close()
    return False
