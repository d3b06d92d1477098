"""A breaker that somebody else holds in PostgreSQL, and who waits for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
from django.conf import settings

from breakers.models import Breaker
from tests.support.eventually import aeventually


@asynccontextmanager
async def held_up(name: str = "catalog") -> AsyncIterator[psycopg.AsyncConnection]:
    """No commit that moves the breaker ends in the block; who holds it commits at its end."""
    breaker = await Breaker.objects.aget(name=name)
    async with await psycopg.AsyncConnection.connect(settings.DATABASE_URL) as holder:
        await holder.execute("SELECT FROM breaker WHERE id = %s FOR UPDATE", [breaker.pk])
        yield holder


async def wait_for_a_lock(*, writers: int = 1) -> list[int]:
    """Until so many do at least; by process."""
    waiting: list[int] = []

    async def are_waiting() -> bool:
        nonlocal waiting
        async with await psycopg.AsyncConnection.connect(settings.DATABASE_URL) as looker:
            found = await looker.execute(
                "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
            waiting = [pid for (pid,) in await found.fetchall()]
        return len(waiting) >= writers

    await aeventually(are_waiting)
    return waiting
