"""Breakers that leave, and what goes on around that: further lives, what was said just before, overrides, reports."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.utils import timezone

from alerts.evaluate import evaluate_pending
from alerts.models import Incident
from breakers.ingest.jobs import Batch, Introduce
from breakers.models import Breaker, BreakerInstance, Instance
from breakers.states import State
from breakers.wire import BreakerHello, Hello
from tests.breakers.test_leaving import CATALOG, FORCE, USERS, of_users, pass_by, settle
from tests.support.eventually import aeventually
from tests.support.make import make_rule
from tests.support.poller import Poller
from tests.support.web import Web
from tests.support.writing import happened, writer

CLOSED = {"breaker": "users", "state": "closed"}


async def firing() -> list[str]:
    """What fires, once all is evaluated."""
    await sync_to_async(evaluate_pending)()
    return [row.summary async for row in Incident.objects.filter(resolved_at=None)]


async def test_each_life_has_a_minute_of_its_own(web: Web) -> None:
    async with web.agent(CATALOG, USERS):
        pass
    async with web.agent(CATALOG, boot="b2"):
        pass
    await pass_by(55)

    async with web.agent(CATALOG, boot="b3"):
        await pass_by(6)
        await settle(web)
        assert await of_users(web) == ("open", 1)
        await pass_by(55)
        await settle(web)
        assert await of_users(web) == ("unknown", 0)


async def test_a_life_that_follows_a_loss_has_it_too(web: Web) -> None:
    async with web.agent(CATALOG, USERS):
        pass
    async with web.agent(CATALOG, boot="b2"):
        pass
    await pass_by(3600)
    await Instance.objects.aupdate(lost_at=timezone.now())

    async with web.agent(CATALOG, boot="b3"):
        await settle(web)

        assert (await of_users(web))[1] == 1


async def test_what_one_life_told_of_the_next_must_tell_of_too(web: Web) -> None:
    async with web.agent(CATALOG, USERS):
        pass
    async with web.agent(CATALOG, boot="b2") as agent:
        await agent.events({"breaker": "users", "to": "half_open"})
        await pass_by(61)
        await settle(web)
        assert await of_users(web) == ("half_open", 1)

    async with web.agent(CATALOG, boot="b3"):
        await pass_by(61)
        await settle(web)

        assert await of_users(web) == ("unknown", 0)


async def test_what_is_named_anew_has_applied_nothing_yet(web: Web) -> None:
    async def are_applied(number: int) -> bool:
        return bool((await web.breaker("orders", "users"))["override"]["applied"] == number)

    async with web.agent(CATALOG, USERS) as agent:
        id = (await web.breaker("orders", "users"))["id"]
        await web.call("PUT", f"breakers/{id}/override", FORCE)
        await agent.hear("desired")
        await agent.say(type="applied", breaker="users", revision=1, ok=True, state="forced_open")
        await aeventually(lambda: are_applied(1))
        await agent.hello(CATALOG)

        await agent.hello(CATALOG, CLOSED)

        shown = (await web.breaker("orders", "users"))["override"]
        assert (shown["applied"], shown["pending"]) == (0, 1)


async def test_a_report_ends_with_the_leaving_whatever_is_said_afterwards(web: Web) -> None:
    async with web.agent(CATALOG, USERS) as agent:
        id = (await web.breaker("orders", "users"))["id"]
        await agent.hello(CATALOG)
        left = (await BreakerInstance.objects.aget(breaker__name="users")).left_at
        assert left is not None
        for to in ("half_open", "open"):
            await agent.events({"breaker": "users", "to": to})

        until = datetime.now(UTC)
        report = await web.get(
            f"breakers/{id}/report", since=left.isoformat(), until=until.isoformat()
        )

        assert report["any_open"] == 0


@pytest.mark.parametrize("together", [True, False])
async def test_what_opened_before_it_left_is_judged(web: Web, together: bool) -> None:
    await sync_to_async(make_rule)()
    said = {"service": "orders", "instance": "one", "boot": "b1", "environment": "prod"}
    async with web.agent(CATALOG, CLOSED) as agent:
        assert await firing() == []

        await agent.say(type="events", batch=1, events=[{"breaker": "users", "to": "open"}])
        if not together:
            await agent.hear("ack")
        await agent.say(type="hello", breakers=[CATALOG], **said)
        if together:
            await agent.hear("ack")
        await agent.hear("welcome")

        assert len(await firing()) == 1


@pytest.mark.django_db(transaction=True)
async def test_what_was_committed_before_it_left_is_judged() -> None:
    """Two processes wait for a breaker: the event is committed first, the hello that drops it began earlier."""
    await sync_to_async(make_rule)()
    session = uuid.uuid4()

    def hello(*names: str) -> Introduce:
        breakers = [BreakerHello(breaker=name, state="closed") for name in names]
        said = Hello(
            service="orders", environment="drafts", instance="i1", boot="a", breakers=breakers
        )
        return Introduce(hello=said, environment="drafts", session=session, connected=True)

    async with (
        writer() as one,
        writer() as two,
        await psycopg.AsyncConnection.connect(settings.DATABASE_URL) as holder,
    ):
        await one.commit(hello("catalog", "users"))
        assert await firing() == []
        users = await Breaker.objects.aget(name="users")
        await holder.execute("SELECT FROM breaker WHERE id = %s FOR UPDATE", [users.pk])
        opened = happened(1, State.OPEN, breaker="users", occurred_at=datetime.now(UTC))
        event = two.submit(Batch(events=[opened]))
        await waits(1)
        leaving = one.submit(hello("catalog"))
        await waits(2)

        await holder.commit()
        await asyncio.gather(event, leaving)

    assert len(await firing()) == 1


async def waits(number: int) -> None:
    """Until so many transactions wait for a lock."""

    async def do_wait() -> bool:
        async with await psycopg.AsyncConnection.connect(settings.DATABASE_URL) as connection:
            row = await (
                await connection.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
                    "AND datname = current_database()"
                )
            ).fetchone()
        return row is not None and row[0] >= number

    await aeventually(do_wait)


async def test_who_polls_hears_nothing_of_what_it_dropped(web: Web) -> None:
    poller = Poller(web)
    await poller.hello(CATALOG, CLOSED)
    await poller.hello(CATALOG)
    id = (await web.breaker("orders", "users"))["id"]
    await web.call("PUT", f"breakers/{id}/override", FORCE)

    assert await poller.all() == []


async def test_it_was_not_there_then_also_once_it_is_back(web: Web) -> None:
    await sync_to_async(make_rule)()
    async with web.agent(CATALOG, USERS) as agent:
        await agent.hello(CATALOG)
        left = (await BreakerInstance.objects.aget(breaker__name="users")).left_at
        assert left is not None
        then = left + timedelta(milliseconds=1)
        before = await stood_then(web, then, "users")
        await agent.hello(CATALOG, CLOSED)

        assert await stood_then(web, then, "users") == before == ("unknown", 0)
        assert await stood_then(web, then, "catalog") == ("closed", 1)
        assert await stood_then(web, left - timedelta(milliseconds=1), "users") == ("open", 1)
        assert (await of_users(web))[1] == 1
        # What would have fired between is what fired.
        asked = {"kind": "opened", "params": {}, "matchers": [], "severity": "critical"}
        span = {"since": then.isoformat(), "until": datetime.now(UTC).isoformat()}
        answer = await web.call("POST", "rules/preview", asked | span)
        assert answer.json()["incidents"] == []


async def stood_then(web: Web, at: datetime, breaker: str) -> tuple[str, int]:
    found = (await web.get("breakers", at=at.isoformat()))["items"]
    [one] = [item for item in found if item["breaker"] == breaker]
    return one["state"], one["instances"]
