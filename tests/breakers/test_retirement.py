from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from django.utils import timezone

from breakers.agents.retire import prune_retired, retire_away
from breakers.models import AuditEntry, Boot, Breaker, BreakerInstance, Event, Instance, OutboxRow
from breakers.outbox import steps_of
from tests.support.eventually import aeventually
from tests.support.make import make_breaker
from tests.support.web import Web

HOUR = timedelta(hours=1)


def age(name: str, *, lost: timedelta | None = None, silent: timedelta | None = None) -> None:
    now = timezone.now()
    Instance.objects.filter(name=name).update(
        last_seen=now - (lost or silent or timedelta()),
        lost_at=None if lost is None else now - lost,
        connected=None if lost is None else False,
    )


def somebody_listens_for(span: timedelta) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE watch SET alive_since = now() - %s", [span])


@pytest.mark.django_db
def test_who_stays_away_is_retired_and_what_it_leaves_is_judged() -> None:
    make_breaker(state="open", instances=["long lost", "lost", "silent", "quiet"])
    age("long lost", lost=25 * HOUR)
    age("lost", lost=23 * HOUR)
    age("silent", silent=8 * 24 * HOUR)
    age("quiet", silent=6 * 24 * HOUR)
    somebody_listens_for(2 * HOUR)

    assert retire_away() == 2

    retired = set(Instance.objects.exclude(retired_at=None).values_list("name", flat=True))
    assert retired == {"long lost", "silent"}
    (row,) = OutboxRow.objects.all()
    assert len(steps_of(row.steps)) == 2
    assert retire_away() == 0


@pytest.mark.django_db
def test_nobody_is_retired_in_the_first_minute_after_a_time_in_which_nobody_listened() -> None:
    make_breaker(instances=["long lost"])
    age("long lost", lost=25 * HOUR)
    somebody_listens_for(timedelta(seconds=30))

    assert retire_away() == 0


async def test_an_instance_is_retired_by_hand_and_its_next_word_brings_it_back(web: Web) -> None:
    event = {"service": "orders", "breaker": "catalog", "environment": "prod", "to": "open"}
    await web.post_events(event | {"instance": "a"}, event | {"instance": "b", "to": "closed"})
    [a] = [one for one in (await web.get("instances"))["items"] if one["instance"] == "a"]

    answer = await web.call("POST", f"instances/{a['id']}/retire", {"reason": "gone for good"})

    assert answer.status_code == 204, answer.text
    assert (await web.breaker("orders", "catalog"))["states"] == {"closed": 1}
    entry = await AuditEntry.objects.aget(action="retire_instance")
    assert (entry.subject, entry.reason) == ("prod / orders / a", "gone for good")
    again = await web.call("POST", f"instances/{a['id']}/retire", {"reason": "twice"})
    assert again.status_code == 409

    await web.post_events(event | {"instance": "a"})

    assert (await web.breaker("orders", "catalog"))["states"] == {"open": 1, "closed": 1}
    assert (await Instance.objects.aget(name="a")).connected is None


async def test_a_connected_instance_is_not_retired_by_hand(web: Web) -> None:
    async with web.agent({"breaker": "catalog", "state": "closed"}) as agent:
        [one] = (await web.get("instances"))["items"]
        path = f"instances/{one['id']}/retire"

        assert (await web.call("POST", path, {"reason": "no"})).status_code == 409
        assert (await web.call("POST", path, {"reason": " "})).status_code == 422
        assert (
            await web.call("POST", "instances/999999/retire", {"reason": "no"})
        ).status_code == 404

        agent.socket.transport.abort()

        async def retired() -> bool:
            return (await web.call("POST", path, {"reason": "it broke off"})).status_code == 204

        await aeventually(retired)


def retire_all(*, ago: timedelta = 2 * HOUR) -> None:
    """As if they had been retired so long ago."""
    Instance.objects.update(retired_at=timezone.now() - ago)


async def history_is_dropped() -> None:
    await Event.objects.all().adelete()
    await OutboxRow.objects.all().adelete()


@pytest.mark.django_db
def test_a_retired_instance_is_pruned_with_all_that_hangs_on_it() -> None:
    breaker = make_breaker(instances=["gone", "back"])
    Boot.objects.create(
        instance=Instance.objects.get(name="gone"), boot="b", first_at=timezone.now()
    )
    retire_all()
    Instance.objects.filter(name="back").update(retired_at=None)
    change = Breaker.objects.get(pk=breaker.pk).change

    assert prune_retired() == 1

    assert list(Instance.objects.values_list("name", flat=True)) == ["back"]
    assert BreakerInstance.objects.count() == 1
    assert Boot.objects.count() == 0
    assert Breaker.objects.get(pk=breaker.pk).change > change
    assert prune_retired() == 0


async def test_who_has_history_left_is_kept_until_it_is_gone(web: Web) -> None:
    event = {"service": "orders", "breaker": "catalog", "environment": "prod", "to": "open"}
    long_ago = {"occurred_at": (timezone.now() - 3 * HOUR).isoformat()}
    await web.post_events(
        event | long_ago | {"instance": "a"}, event | long_ago | {"instance": "b", "type": "note"}
    )
    await OutboxRow.objects.all().adelete()
    await sync_to_async(retire_all)()

    assert await sync_to_async(prune_retired)() == 0
    await Event.objects.filter(type="note").adelete()
    assert await sync_to_async(prune_retired)() == 1

    assert [one.name async for one in Instance.objects.all()] == ["a"]


@pytest.mark.parametrize(
    "word",
    [{"to": "open"}, {"type": "note"}, {"type": "snapshot", "metrics": {"calls": 1}}],
)
async def test_a_pruned_instance_that_speaks_again_is_made_anew(
    web: Web, word: dict[str, Any]
) -> None:
    event = {"service": "orders", "breaker": "catalog", "environment": "prod"}
    await web.post_events(event | {"to": "open"})
    before = await Instance.objects.aget()
    await history_is_dropped()
    await sync_to_async(retire_all)()
    assert await sync_to_async(prune_retired)() == 1
    web.entrance.runtime.writer._memory.spoken.forget(
        [before.pk]
    )  # an hour is longer than it remembers

    answer = await web.post_events(event | word)

    assert answer.json()["accepted"] == 1
    after = await Instance.objects.aget()
    assert (after.name, after.retired_at) == (before.name, None)
    assert after.pk != before.pk


async def test_a_pruned_instance_can_say_hello_again(web: Web) -> None:
    async with web.agent({"breaker": "catalog", "state": "open"}) as agent:
        await agent.say(type="goodbye")
        await agent.socket.wait_closed()
    await history_is_dropped()
    await sync_to_async(retire_all)()
    assert await sync_to_async(prune_retired)() == 1

    async with web.agent({"breaker": "catalog", "state": "open"}):
        assert (await web.breaker("orders", "catalog"))["states"] == {"open": 1}


async def test_a_rolling_deploy_leaves_no_lost_instance_behind(web: Web) -> None:
    """Pods with random names: most say goodbye, some are killed."""
    pods, killed = 40, 4
    for number in range(pods):
        pod = f"orders-{uuid.uuid4().hex[:10]}"
        async with web.agent({"breaker": "catalog", "state": "closed"}, instance=pod) as agent:
            if number < killed:
                agent.socket.transport.abort()
            else:
                await agent.say(type="goodbye")
                await agent.socket.wait_closed()
    left = Instance.objects.filter(retired_at=None)

    async def only_the_killed_are_left() -> bool:
        return await left.filter(connected=False).acount() == await left.acount() == killed

    await aeventually(only_the_killed_are_left)
    day_ago = timezone.now() - 25 * HOUR
    await left.aupdate(lost_at=day_ago, last_seen=day_ago)
    await sync_to_async(somebody_listens_for)(2 * HOUR)
    assert await sync_to_async(retire_away)() == killed
    assert (await web.get("instances"))["items"] == []

    await history_is_dropped()
    await sync_to_async(retire_all)()
    assert await sync_to_async(prune_retired)() == pods
    assert await Instance.objects.acount() == 0
