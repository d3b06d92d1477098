from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from django.conf import settings

from breakers.ingest.partitions import Partitions
from breakers.wire import Happened

LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)


def happened(at: datetime) -> Happened:
    return Happened(
        environment="prod",
        service="orders",
        instance="a",
        breaker="catalog",
        type="note",
        event_id="e",
        named=True,
        timed=True,
        occurred_at=at,
    )


@pytest.mark.django_db(transaction=True)
async def test_writers_that_want_the_same_partition_at_once_all_get_it() -> None:
    connections = [
        await psycopg.AsyncConnection.connect(settings.DATABASE_URL, autocommit=True)
        for _ in range(6)
    ]
    for week in range(10):
        wanted = [happened(LONG_AGO + timedelta(weeks=week))]

        await asyncio.gather(*[Partitions().ensure(one, wanted) for one in connections])

    made = await connections[0].execute(
        "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname LIKE 'event_2001%'"
    )
    assert await made.fetchone() == (10,)
    for one in connections:
        await one.close()
