"""Breakers that another transaction holds: who asks for those is told so, and nobody else waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from django.conf import settings

from breakers.models import Breaker
from tests.support.web import Web


def event(**fields: Any) -> dict[str, Any]:
    return {"service": "orders", "breaker": "catalog", "environment": "prod", "to": "open"} | fields


@asynccontextmanager
async def held(web: Web) -> AsyncIterator[tuple[psycopg.AsyncConnection, int]]:
    """The breaker of orders, known by an event and held until the end; who holds it, and its id."""
    await web.post_events(event())
    breaker = await Breaker.objects.aget(service__name="orders")
    async with await psycopg.AsyncConnection.connect(settings.DATABASE_URL) as holder:
        await holder.execute("SELECT FROM breaker WHERE id = %s FOR UPDATE", [breaker.pk])
        yield holder, breaker.pk


async def test_what_is_held_is_waited_for_once(web: Web) -> None:
    """Three times would hold up whatever waits behind for as long."""
    async with held(web), asyncio.timeout(9):
        refused = await web.post_events(event())

    assert refused.status_code == 503
    assert "held by somebody else" in refused.json()["detail"]
    assert int(refused.headers["retry-after"]) > 0
    assert (await web.post_events(event())).status_code == 202


async def test_what_is_held_is_waited_for_by_nobody_else(web: Web) -> None:
    other, more = event(service="feed"), event(service="feed", breaker="search")
    await web.post_events(other)
    async with held(web):
        async with asyncio.timeout(9):
            first = await asyncio.gather(*map(web.post_events, (event(), other, more)))
        async with asyncio.timeout(3):
            again = await asyncio.gather(*map(web.post_events, (event(), other, more)))
            async with web.agent({"breaker": "catalog", "state": "closed"}, service="feed"):
                pass

    assert [answer.status_code for answer in (*first, *again)] == [503, 202, 202] * 2
    assert (await web.post_events(event())).status_code == 202


async def test_a_breaker_that_is_gone_after_it_was_held_is_made_anew(web: Web) -> None:
    async with held(web) as (holder, breaker):
        async with asyncio.timeout(9):
            assert (await web.post_events(event())).status_code == 503
        await holder.execute("DELETE FROM breaker_instance WHERE breaker_id = %s", [breaker])
        await holder.execute("DELETE FROM breaker WHERE id = %s", [breaker])

    assert (await web.post_events(event())).status_code == 202
    assert (await Breaker.objects.aget()).pk != breaker
