"""`/healthz` and `/readyz`, bare ASGI: cheap enough for every probe, and naming no service."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial

import psycopg
import redis.asyncio
import structlog
from django.conf import settings
from redis.exceptions import RedisError

from breakers.asgi import (
    Application,
    MethodNotAllowed,
    Receive,
    Scope,
    Send,
    answer,
    answer_problem,
    encode,
)
from breakers.errors import CallError
from dashboard.signs import any_sign

ASK_S = 2.0
"""What a part may take to answer, each of two times; load balancers give up after about 5 s."""
REMEMBERED_S = 0.5
"""One look serves all who ask within it, so that a flood of probes is none for the servers."""

_log = structlog.get_logger(__name__)
_PLAIN = [(b"cache-control", b"no-store")]


class NotReady(CallError):
    status, title = 503, "Not ready"


async def healthz(scope: Scope, receive: Receive, send: Send) -> None:
    """200 while this process turns its loop."""
    if await _is_a_get(scope, send):
        await answer(send, 200, b'{"status":"ok"}', headers=_PLAIN)


async def postgres_answers() -> None:
    """A connection of its own: a full pool is load, not an outage."""
    connection = await psycopg.AsyncConnection.connect(
        settings.DATABASE_URL, connect_timeout=2, autocommit=True
    )
    async with connection:
        await connection.execute("SELECT 1")


async def redis_answers() -> None:
    async with _redis() as client:
        await client.ping()


async def gives_sign(role: str) -> None:
    """By the sign of life that workers and beat refresh (dashboard/signs.py)."""
    async with _redis() as client:
        if not await client.exists(any_sign(role)):
            raise LookupError(f"no {role} has given a sign of life")


def _redis() -> redis.asyncio.Redis:
    return redis.asyncio.Redis.from_url(
        settings.REDIS_URL, socket_timeout=ASK_S, socket_connect_timeout=ASK_S
    )


PARTS: dict[str, Callable[[], Awaitable[None]]] = {
    "postgresql": postgres_answers,
    "redis": redis_answers,
    "worker": partial(gives_sign, "worker"),
    "beat": partial(gives_sign, "beat"),
}
READY_WITHOUT = frozenset({"beat"})
"""All that is asked for is done without it; what goes by time waits."""


class Readiness:
    """Which parts do not answer, looked up at most every `REMEMBERED_S`."""

    def __init__(self, parts: dict[str, Callable[[], Awaitable[None]]]) -> None:
        self._parts = parts
        self._missing: list[str] = []
        self._looked = float("-inf")
        self._looking: asyncio.Task[None] | None = None

    async def missing(self) -> list[str]:
        """Their names, in the order of the parts; none: ready."""
        if time.monotonic() - self._looked > REMEMBERED_S:
            if self._looking is None or self._looking.done():
                self._looking = asyncio.create_task(self._look())
            await asyncio.shield(self._looking)
        return self._missing

    async def _look(self) -> None:
        answers = await asyncio.gather(*(self._answers(name) for name in self._parts))
        missing = [
            name for name, is_there in zip(self._parts, answers, strict=True) if not is_there
        ]
        if missing != self._missing:
            _log.info("readiness changed", missing=",".join(missing) or "nothing")
        self._missing = missing
        self._looked = time.monotonic()

    async def _answers(self, name: str) -> bool:
        # A process that was not run for a while sees that time is up before it sees the answer that is there.
        for _ in range(2):
            try:
                async with asyncio.timeout(ASK_S):
                    await self._parts[name]()
                return True
            except (TimeoutError, OSError, LookupError, psycopg.Error, RedisError):
                continue
        return False


def readyz_of(readiness: Readiness) -> Application:
    """200 if nothing is missing that it takes, else 503; both name what is."""

    async def readyz(scope: Scope, receive: Receive, send: Send) -> None:
        if not await _is_a_get(scope, send):
            return
        missing = await readiness.missing()
        if not READY_WITHOUT.issuperset(missing):
            await answer_problem(
                send, NotReady(f"No answer from: {', '.join(missing)}."), missing=missing
            )
        else:
            ready = {"status": "ready"} | ({"missing": missing} if missing else {})
            await answer(send, 200, encode(ready), headers=_PLAIN)

    return readyz


readyz = readyz_of(Readiness(PARTS))


async def _is_a_get(scope: Scope, send: Send) -> bool:
    if scope["method"] in ("GET", "HEAD"):
        return True
    await answer_problem(send, MethodNotAllowed("GET, HEAD"))
    return False
