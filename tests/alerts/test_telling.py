"""What a message tells of an incident that is about no opening: of which instances, and nothing that is over."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from alerts.deliver import Speed, claim_due
from alerts.evaluate import evaluate_pending
from alerts.models import Channel
from breakers.clock import database_now
from breakers.models import Breaker, BreakerInstance, Instance, Override
from tests.alerts.api.callers import Caller
from tests.support.make import (
    happens,
    make_breaker,
    make_channel,
    make_event,
    make_instance,
    make_rule,
)

pytestmark = pytest.mark.django_db
SILENT = datetime(2026, 3, 1, 3, 12, 7, tzinfo=UTC)
HOOK = {"url": "http://127.0.0.1:1/"}


def is_lost(breaker: Breaker, *instances: str) -> None:
    Instance.objects.filter(service=breaker.service, name__in=instances).update(
        connected=False, last_seen=SILENT, lost_at=SILENT + timedelta(seconds=60)
    )
    for name in instances:
        happens(breaker, "unknown", instance=name)


def told() -> tuple[str, str]:
    """The text of the mail, and the webhook's summary; the channels are there already."""
    evaluate_pending()
    due = claim_due(now=database_now() + timedelta(seconds=2), limit=9, each=9, speed=Speed.UNKNOWN)
    bodies = [json.loads(one.parcel.body) for one in due if one.parcel is not None]
    (mail,) = [body["text"] for body in bodies if "text" in body]
    (hook,) = [body["data"]["incident"]["summary"] for body in bodies if "data" in body]
    return mail, hook


def channels() -> list[Channel]:
    return [make_channel(), make_channel(kind="webhook", config=HOOK)]


def test_of_a_lost_instance_a_message_says_which_and_since_when_and_no_failure_that_is_over():
    breaker = make_breaker("ledger", instances=("bill-1", "bill-2", "bill-4"))
    now = database_now()
    make_event(breaker, "open", instance="bill-4", at=now, detail="a trial call failed")
    make_event(breaker, "closed", instance="bill-4", at=now)
    make_rule(kind="instance_lost", channels=channels())
    is_lost(breaker, "bill-2")

    for said in told():
        assert "Lost: bill-2, last seen 03:12:07 UTC" in said
        assert "bill-4" not in said
        assert "trial call" not in said


def test_of_many_lost_instances_a_few_are_named_and_each_once():
    names = [f"bill-{n}" for n in range(1, 7)]
    first, second = make_breaker("ledger", instances=names), make_breaker("cards")
    for name in names:
        make_instance(second, name)
    make_rule(kind="instance_lost", channels=channels())
    is_lost(first, *names)
    is_lost(second, *names)

    _, hook = told()

    seen = "last seen 03:12:07 UTC"
    assert hook.endswith(f". Lost: bill-1, {seen}; bill-2, {seen}; bill-3, {seen}; and 3 more")


def test_only_instances_that_the_rule_is_about_are_told_of():
    breaker = make_breaker("ledger", instances=("bill-1", "bill-2"))
    matchers = ['instance="bill-2"']
    make_rule(kind="instance_lost", matchers=matchers, channels=channels())
    is_lost(breaker, "bill-1", "bill-2")

    for said in told():
        assert "Lost: bill-2, last" in said
        assert "bill-1" not in said


def test_of_an_override_that_is_not_applied_a_message_says_by_whom_and_why():
    breaker = make_breaker("ledger", instances=("bill-1", "bill-go", "bill-py", "bill-rs"))
    make_rule(kind="override_unapplied", params={"for": 60}, channels=channels())
    wish = {"mode": "forced_closed", "reason": "the probe lies", "no_expiry": True}
    Caller()("PUT", f"/breakers/{breaker.pk}/override", wish)
    long_ago = database_now() - timedelta(seconds=61)
    Override.objects.update(created_at=long_ago)
    Instance.objects.update(connected=True)
    held = BreakerInstance.objects.filter(breaker=breaker)
    held.update(since=long_ago)
    held.filter(instance__name="bill-1").update(applied_revision=1, state="forced_closed")
    held.filter(instance__name="bill-rs").update(applied_revision=1)
    error = "the breaker is shared\nand read-only"
    held.filter(instance__name="bill-go").update(refused_revision=1, refused_error=error)

    for said in told():
        assert (
            "Not applied by bill-go, which refused revision 1: the breaker is shared and read-only; "
            "bill-py, which has not answered; bill-rs, which confirmed it and is closed" in said
        )
        assert "bill-1" not in said


def test_of_who_cannot_obey_a_message_does_not_say_that_an_answer_is_to_come():
    breaker = make_breaker("ledger", instances=("bill-1",))
    make_rule(kind="override_unapplied", params={"for": 60}, channels=channels())
    wish = {"mode": "forced_closed", "reason": "the probe lies", "no_expiry": True}
    Caller()("PUT", f"/breakers/{breaker.pk}/override", wish)
    Override.objects.update(created_at=database_now() - timedelta(seconds=61))

    for said in told():
        assert "Not applied by bill-1, which is known by its events alone and cannot obey" in said
