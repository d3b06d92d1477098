"""Breakers that an instance no longer has: a hello names all that it has, so what the last one does not name is gone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from django.db.models import F
from django.utils import timezone

from breakers.history.rebuild import rebuild
from breakers.ingest.jobs import Lose, Settle
from breakers.models import BreakerInstance, Event, Instance, OutboxRow
from breakers.outbox import OutboxStep, steps_of
from breakers.states import State
from tests.support.eventually import aeventually
from tests.support.web import Watcher, Web
from tests.support.writing import writer

CATALOG = {"breaker": "catalog", "state": "closed"}
USERS = {"breaker": "users", "state": "open"}
FORCE = {"mode": "forced_open", "reason": "maintenance", "expires_in": 600}


async def steps() -> list[OutboxStep]:
    texts = OutboxRow.objects.order_by("id").values_list("steps", flat=True)
    return [step async for text in texts for step in steps_of(text)]


def somebody_has_listened() -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE watch SET alive_since = now() - interval '1 hour'")


async def of_users(web: Web) -> tuple[str, int]:
    shown = await web.breaker("orders", "users")
    return shown["state"], shown["instances"]


async def is_gone(web: Web) -> bool:
    return await of_users(web) == ("unknown", 0)


async def settle(web: Web) -> None:
    """As the watch does each few seconds."""
    instance = await Instance.objects.aget()
    await web.entrance.runtime.writer.commit(Settle(instance_id=instance.pk, breakers=2))


async def pass_by(seconds: float) -> None:
    """All that is noted of leaving was so many seconds ago."""
    moved = timedelta(seconds=seconds)
    await BreakerInstance.objects.aupdate(
        left_at=F("left_at") - moved, leaves_at=F("leaves_at") - moved
    )


@pytest.mark.parametrize("boot", ["b1", "b2"])
async def test_what_a_hello_does_not_name_any_more_is_gone(web: Web, boot: str) -> None:
    """On the same socket, or a minute after the next life of a process that keeps its name has begun."""
    long_open = USERS | {"since": (timezone.now() - timedelta(minutes=5)).isoformat()}
    async with web.agent(CATALOG, long_open) as agent, web.socket("/live/v1") as socket:
        watcher = Watcher(socket)
        await watcher.subscribe(state="open")
        await watcher.take()
        assert len(watcher.board) == 1
        id = (await web.breaker("orders", "users"))["id"]
        await OutboxRow.objects.all().adelete()

        if boot == "b1":
            await agent.hello(CATALOG)
        else:
            await agent.say(type="goodbye")
            await agent.socket.wait_closed()
            async with web.agent(CATALOG, boot=boot):
                await settle(web)
                assert await of_users(web) == ("open", 1)
                await pass_by(61)
                await aeventually(partial(is_gone, web))

        await watcher.until(lambda board: not board)
        assert await of_users(web) == ("unknown", 0)
        assert (await web.get(f"breakers/{id}/instances"))["items"] == []
        forced = (await web.call("PUT", f"breakers/{id}/override", FORCE)).json()
        assert forced["revision"] == 1
        shown = await web.breaker("orders", "users")
        assert (shown["override"]["pending"], shown["override"]["applied"]) == (0, 0)
        refused = await web.call(
            "POST",
            f"breakers/{id}/commands",
            {"command": "reset", "reason": "r", "instances": ["one"]},
        )
        assert refused.status_code == 422
    # It is judged without it.
    assert await OutboxRow.objects.filter(breaker_id=int(id)).aexists()
    [instance] = (await web.get("instances"))["items"]
    assert instance["breakers"] == 1
    assert await sync_to_async(lambda: list(rebuild(write=False)))() == []


async def test_what_is_named_again_counts_as_if_it_were_new(web: Web) -> None:
    async with web.agent(CATALOG, USERS) as agent:
        await agent.hello(CATALOG)
        await OutboxRow.objects.all().adelete()

        await agent.hello(CATALOG, USERS)

        assert await of_users(web) == ("open", 1)
    told = [(step.before, step.state) for step in await steps()]
    assert told == [(State.UNKNOWN, State.OPEN)]


async def test_what_the_next_life_names_late_was_never_gone(web: Web) -> None:
    """Breakers are often made when they are first needed."""
    async with web.agent(CATALOG, USERS):
        pass
    async with web.agent(CATALOG, boot="b2") as agent:
        await OutboxRow.objects.all().adelete()
        await agent.hello(CATALOG, USERS, boot="b2")
        await pass_by(61)
        await settle(web)

        assert await of_users(web) == ("open", 1)
    assert await steps() == []


async def test_what_the_next_life_tells_of_without_naming_it_stays(web: Web) -> None:
    async with web.agent(CATALOG, USERS):
        pass
    async with web.agent(CATALOG, boot="b2") as agent:
        await agent.events({"breaker": "users", "to": "half_open"})
        await pass_by(61)
        await settle(web)

        assert await of_users(web) == ("half_open", 1)
        await agent.hello({"breaker": "more", "state": "closed"}, CATALOG, boot="b2")
        await pass_by(61)
        await settle(web)
        assert await of_users(web) == ("half_open", 1)


async def test_what_the_life_before_said_last_does_not_keep_it_whatever_its_clock(
    web: Web,
) -> None:
    ahead = (timezone.now() + timedelta(minutes=4)).isoformat()
    async with web.agent(CATALOG, USERS) as agent:
        await agent.events({"breaker": "users", "to": "half_open", "occurred_at": ahead})
    async with web.agent(CATALOG, boot="b2"):
        await pass_by(61)
        await settle(web)

        assert await is_gone(web)


async def test_what_is_sent_again_does_not_bring_it_back_and_a_word_of_long_after_does(
    web: Web,
) -> None:
    async with web.agent(CATALOG, USERS) as agent:
        await agent.hello(CATALOG)
        for to in ("half_open", "open"):  # unacknowledged, say
            await agent.events({"breaker": "users", "to": to, "library": "x 1"})
        await settle(web)
        assert await of_users(web) == ("unknown", 0)

        await pass_by(301)
        await OutboxRow.objects.all().adelete()
        await settle(web)

        assert await of_users(web) == ("open", 1)
        assert [(step.before, step.state) for step in await steps()] == [
            (State.UNKNOWN, State.OPEN)
        ]
        await agent.hello(CATALOG)
        assert await of_users(web) == ("unknown", 0)


async def test_an_event_and_the_hello_that_drops_it_in_one_group(web: Web) -> None:
    async with web.agent(CATALOG, USERS) as agent:
        said = {"service": "orders", "instance": "one", "boot": "b1", "environment": "prod"}
        for number in range(20):
            event = {"breaker": "users", "to": "half_open" if number % 2 else "open"}
            await agent.say(type="events", batch=number, events=[event])
        await agent.say(type="hello", breakers=[CATALOG], **said)
        for _ in range(20):
            await agent.hear("ack")
        await agent.hear("welcome")

        assert await of_users(web) == ("unknown", 0)


async def test_what_no_hello_has_named_is_left_alone(web: Web) -> None:
    """Agents that name none, and events of what they do not name."""
    async with web.agent(CATALOG) as agent:
        await agent.events({"breaker": "users", "to": "open"})
        await agent.hello(CATALOG)
        assert await of_users(web) == ("open", 1)

        await agent.hello()
        assert (await web.breaker("orders", "catalog"))["instances"] == 1


async def test_an_agent_with_more_breakers_than_a_hello_holds_loses_none(web: Web) -> None:
    many: list[dict[str, Any]] = [
        {"breaker": f"b{number}", "state": "closed"} for number in range(1001)
    ]
    async with web.agent(*many[:1000]) as agent:
        await agent.hello(*many[1:])

    assert not await BreakerInstance.objects.filter(left_at__isnull=False).aexists()


async def test_the_board_of_then_has_it_and_that_of_now_has_not(web: Web) -> None:
    async with web.agent(CATALOG, USERS) as agent:
        then = datetime.now(UTC)
        await agent.hello(CATALOG)

    async def instances(at: datetime) -> dict[str, int]:
        found = (await web.get("breakers", at=at.isoformat()))["items"]
        return {one["breaker"]: one["instances"] for one in found}

    assert await instances(then) == {"catalog": 1, "users": 1}
    assert await instances(datetime.now(UTC)) == {"catalog": 1, "users": 0}


@pytest.mark.django_db(transaction=True)
async def test_a_loss_says_nothing_of_it_and_it_does_not_come_back_with_its_instance(
    web: Web,
) -> None:
    async with web.agent(CATALOG, USERS) as agent:
        await agent.hello(CATALOG)
    long_ago = timezone.now() - timedelta(minutes=5)
    await Instance.objects.aupdate(last_seen=long_ago, connected=False)
    await sync_to_async(somebody_has_listened)()
    instance = await Instance.objects.aget()

    async with writer() as one:
        lost = await one.commit(Lose(instance_ids=(instance.pk,), breakers=2))

    assert lost == [instance.pk]
    catalog, users = [
        int((await web.breaker("orders", name))["id"]) for name in ("catalog", "users")
    ]
    said = Event.objects.filter(reason="instance_lost").values_list("breaker_id", flat=True)
    assert [breaker async for breaker in said] == [catalog]
    await OutboxRow.objects.all().adelete()
    async with web.agent(CATALOG):
        assert await of_users(web) == ("unknown", 0)
    assert not await OutboxRow.objects.filter(breaker_id=users).exclude(steps="[]").aexists()
