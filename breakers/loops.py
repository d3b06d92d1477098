"""What must go on for as long as the process does."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Iterable
from typing import NoReturn

import psycopg
import redis
import structlog
from django.db import InterfaceError, OperationalError

from breakers.errors import Overloaded

_log = structlog.get_logger(__name__)
AWAY = (
    psycopg.OperationalError,  # the pool's own time-outs among them
    psycopg.InterfaceError,
    OperationalError,
    InterfaceError,
    redis.RedisError,
    Overloaded,
    OSError,
)
"""What a server that cannot be reached raises."""
_LONGEST_S = 1.0
"""Between two tries: boards are to be right within a second of the database's return."""
_SAID_EACH = 30
"""Failures in a row for which a server that is away gets a line."""


async def for_ever(
    step: Callable[[], Awaitable[object]], *, name: str, every_s: float = 0.0
) -> NoReturn:
    """Does `step` again and again, `every_s` seconds after its end, whatever it raises.

    That is logged, with its traceback unless it only says that a server is away; the next try comes after a
    wait that grows, with jitter, so that processes which failed together do not try together.
    """
    failures = 0
    task = asyncio.current_task()
    while True:
        problem = await _failure_of(step)
        if task and task.cancelling():
            # What cleans up after a cancellation can fail, or take it for a server that is away: it counts all the same.
            raise asyncio.CancelledError from problem
        if problem is None:
            failures = 0
            await asyncio.sleep(every_s)
            continue
        failures += 1
        if not isinstance(problem, AWAY):
            _log.error("failed", loop=name, exc_info=problem)
        elif failures % _SAID_EACH == 1:
            error = str(problem).strip() or type(problem).__name__
            _log.warning("not done", loop=name, error=error, failures=failures)
        longest_s = min(_LONGEST_S, 0.1 * 2 ** min(failures, 10))
        await asyncio.sleep(random.uniform(longest_s / 2, longest_s))  # noqa: S311 - jitter


async def _failure_of(step: Callable[[], Awaitable[object]]) -> Exception | None:
    try:
        await step()
    except Exception as problem:
        return problem
    return None


async def cancel(tasks: Iterable[asyncio.Task[NoReturn]]) -> None:
    """Ends loops and waits until they have ended."""
    for task in tasks:
        task.cancel()
    for task in tasks:
        with contextlib.suppress(asyncio.CancelledError):
            await task
