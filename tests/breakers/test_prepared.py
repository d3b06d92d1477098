"""What was prepared on a connection, and what becomes of it while the system is migrated under it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.db import connections
from django.utils import timezone
from psycopg import sql

from breakers.db import Unfit, make_pool
from breakers.ingest.statements import Statements
from tests.support.web import Web


def event(breaker: str) -> dict[str, Any]:
    return {"service": "orders", "breaker": breaker, "to": "open"}


@contextmanager
def widened(superuser_url: str) -> Iterator[None]:
    widen = "ALTER TABLE breaker_instance ALTER COLUMN reason TYPE varchar({})"
    with psycopg.connect(superuser_url, autocommit=True) as superuser:
        superuser.execute(widen.format(65))
        try:
            yield
        finally:
            superuser.execute(widen.format(64))


async def test_a_column_that_is_widened_under_a_running_process_costs_no_event(
    web: Web, superuser_url: str
) -> None:
    for number in range(8):  # on each connection of the pool, which takes turns
        await web.post_events(event(f"before-{number}"))
    with widened(superuser_url):
        answers = [await web.post_events(event(f"after-{number}")) for number in range(8)]

    assert [answer.json().get("accepted") for answer in answers] == [1] * 8


async def test_while_tables_are_of_another_version_senders_are_asked_to_come_again(
    web: Web, superuser_url: str
) -> None:
    with psycopg.connect(superuser_url, autocommit=True) as superuser:
        superuser.execute("ALTER TABLE outbox RENAME TO outbox_of_another_version")
        try:
            refused = await web.post_events(event("catalog"), event("users"))
        finally:
            superuser.execute("ALTER TABLE outbox_of_another_version RENAME TO outbox")

    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) > 0
    again = await web.post_events(event("catalog"), event("users"))
    assert (again.status_code, again.json()["accepted"]) == (202, 2)


async def test_a_connection_that_a_migration_has_outdated_is_not_used_again(
    transactional_db: None, superuser_url: str
) -> None:
    async with make_pool(size=1) as pool:
        async with pool.connection() as connection:
            await connection.execute("SELECT reason FROM breaker_instance", prepare=True)

        with widened(superuser_url):
            with pytest.raises(Unfit):
                async with pool.connection() as connection:
                    await connection.execute("SELECT reason FROM breaker_instance")
            async with pool.connection() as connection:
                await connection.execute("SELECT reason FROM breaker_instance")


async def test_what_was_prepared_outlives_a_rollback(transactional_db: None) -> None:
    """psycopg forgets at each rollback all that it has prepared, and with it what we have."""
    async with make_pool(size=1, prepares=False) as pool, pool.connection() as connection:
        for _ in range(6):  # so often that psycopg would prepare it
            await connection.execute("SELECT 1")
        statements = Statements(connection)
        statements.ask("begin")
        await statements.fetch("load_boots", instances=[1])

        await connection.rollback()

        assert await statements.fetch("load_boots", instances=[1]) == []


async def test_a_repeat_harms_nobody(web: Web) -> None:
    one = event("catalog") | {"id": "same", "occurred_at": timezone.now().isoformat()}
    for number in range(8):
        await web.post_events(event(f"before-{number}"))
    answers = [await web.post_events(one) for _ in range(4)]
    answers += [await web.post_events(event(f"after-{number}")) for number in range(8)]

    told = [answer.json() for answer in answers]
    assert [said.get("duplicates") for said in told] == [0, 1, 1, 1] + [0] * 8
    assert [said.get("accepted") for said in told] == [1, 0, 0, 0] + [1] * 8


async def test_while_the_database_may_only_be_read_senders_are_asked_to_come_again(
    web: Web, superuser_url: str
) -> None:
    """As after a failover, when what was the primary is a standby."""
    await web.post_events(event("catalog"))
    with psycopg.connect(superuser_url, autocommit=True) as superuser:
        database = superuser.info.dbname
        read_only = sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = {}")
        superuser.execute(read_only.format(sql.Identifier(database), sql.Literal("on")))
        superuser.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        try:
            answers = [await web.post_events(event("users")) for _ in range(8)]
            wished = await web.call("POST", "rules", {"name": "x", "kind": "opened"})
        finally:
            superuser.execute("SET default_transaction_read_only = off")
            superuser.execute(read_only.format(sql.Identifier(database), sql.Literal("off")))
            superuser.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            # Those of this process's threads outlive the test, and nobody asks whether they still do.
            connections.close_all()
            await sync_to_async(connections.close_all)()

    assert {answer.status_code for answer in [*answers, wished]} == {503}
    assert (await web.post_events(event("users"))).json()["accepted"] == 1
