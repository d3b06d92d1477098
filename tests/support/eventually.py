"""Waiting for what happens soon, without guessing how soon."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(look: Callable[[], T], *, within: float = 30, every: float = 0.02) -> T:
    """The first truthy answer of `look`; assertions it raises count as "not yet", the last one is reported."""
    deadline = time.monotonic() + within
    while True:
        try:
            answer = look()
            if answer:
                return answer
            problem: AssertionError | None = None
        except AssertionError as error:
            problem = error
        if time.monotonic() > deadline:
            raise problem or AssertionError(f"not within {within} s: {look.__qualname__}")
        time.sleep(every)


async def aeventually(
    look: Callable[[], T | Awaitable[T]], *, within: float = 30, every: float = 0.02
) -> T:
    """The same on an event loop; `look` may be a coroutine function."""
    deadline = time.monotonic() + within
    while True:
        try:
            answer = look()
            if isinstance(answer, Awaitable):
                answer = await answer
            if answer:
                return answer
            problem: AssertionError | None = None
        except AssertionError as error:
            problem = error
        if time.monotonic() > deadline:
            raise problem or AssertionError(f"not within {within} s: {look.__qualname__}")
        await asyncio.sleep(every)
