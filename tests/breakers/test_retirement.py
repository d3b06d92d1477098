from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from breakers.agents.retire import retire_away
from breakers.models import AuditEntry, Instance, OutboxRow
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
    assert OutboxRow.objects.count() == 2
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
