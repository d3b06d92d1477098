"""What whoever is woken reads: how many instances, since when, why, by whose hand, and where to look."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest
from django.core import mail
from django.core.mail import EmailMultiAlternatives

from alerts.deliver import Speed, claim_due
from alerts.evaluate import evaluate_pending
from breakers.clock import database_now
from breakers.models import Breaker, BreakerInstance
from tests.alerts.api.callers import Caller
from tests.support.make import happens, make_breaker, make_channel, make_event, make_rule

pytestmark = pytest.mark.django_db
THREE = ("orders-1", "orders-2", "orders-3")
GATHERED = timedelta(seconds=2)
"""The mail waits for the instances that open just after the first."""


def opens(
    breaker: Breaker,
    *instances: str,
    cause: str = "automatic",
    detail: str | None = "3 failures in a row",
) -> datetime:
    """In one instance after another; since when the first."""
    began = database_now()
    for n, instance in enumerate(instances):
        at = began + timedelta(milliseconds=n)
        happens(breaker, "open", instance=instance)
        make_event(breaker, "open", instance=instance, at=at, cause=cause, detail=detail)
        BreakerInstance.objects.filter(breaker=breaker, instance__name=instance).update(
            since=at, not_closed_since=at
        )
    return began


def mailed() -> EmailMultiAlternatives:
    make_rule(severity="critical", channels=[make_channel()])
    evaluate_pending()
    (due,) = claim_due(now=database_now() + GATHERED, limit=9, each=9, speed=Speed.UNKNOWN)
    assert due.kind is not None
    assert due.parcel is not None
    due.kind.send(due.parcel)
    (letter,) = mail.outbox
    return letter


def test_a_mail_says_in_how_many_instances_since_when_why_and_where_to_look() -> None:
    breaker = make_breaker("catalog", instances=THREE)
    began = opens(breaker, *THREE)

    letter = mailed()

    assert letter.subject == (
        "[critical] Firing: orders/catalog opened in prod, open on 3 of 3 instances"
    )
    since = f"{began:%Y-%m-%d %H:%M:%S} UTC"
    html, _ = letter.alternatives[0]
    for said in (letter.body, html):
        assert f"orders/catalog in prod: open on 3 of 3 instances since {since}" in said
        assert "First on orders-1: 3 failures in a row" in said
        assert f"http://testserver/breakers/{breaker.pk}/" in said
        assert "http://testserver/incidents/" in said


def test_a_mail_waits_for_the_instances_that_open_just_after_the_first() -> None:
    breaker = make_breaker("catalog", instances=THREE)
    make_rule(channels=[make_channel()])
    opens(breaker, "orders-1")
    evaluate_pending()

    assert claim_due(now=database_now(), limit=9, each=9, speed=Speed.UNKNOWN) == []
    opens(breaker, "orders-2", "orders-3")
    evaluate_pending()

    (due,) = claim_due(now=database_now() + GATHERED, limit=9, each=9, speed=Speed.UNKNOWN)
    assert due.parcel is not None
    assert "open on 3 of 3 instances" in json.loads(due.parcel.body)["subject"]


def test_a_mail_says_who_tripped_it_by_hand_and_why() -> None:
    breaker = make_breaker("catalog", instances=THREE)
    call = Caller()
    trip = {"command": "trip", "reason": "the fallback drill"}
    call.post(f"/breakers/{breaker.pk}/commands", trip, status=202)
    opens(breaker, "orders-1", cause="manual", detail="trip")

    assert "Tripped by hand by test: “the fallback drill”" in mailed().body


def test_a_mail_says_who_forces_it_and_why() -> None:
    breaker = make_breaker("catalog", instances=THREE)
    wish = {"mode": "forced_closed", "reason": "the probe lies", "no_expiry": True}
    Caller()("PUT", f"/breakers/{breaker.pk}/override", wish)
    opens(breaker, "orders-1")

    assert "to be forced closed by key test (“the probe lies”), without an end" in mailed().body


def test_who_moved_it_in_the_service_itself_is_not_named_for_a_command_of_long_ago() -> None:
    breaker = make_breaker("catalog", instances=THREE)
    opens(breaker, "orders-2", cause="manual", detail=None)

    assert "First on orders-2: moved by hand" in mailed().body


def test_of_a_long_text_the_beginning_is_told_and_of_an_old_opening_nothing() -> None:
    breaker = make_breaker("catalog", instances=THREE)
    at = database_now() - timedelta(hours=1)
    make_event(breaker, "open", instance="orders-3", at=at, detail="of an outage that is over")
    opens(breaker, "orders-1", detail="word\n" * 400)

    letter = mailed()

    assert "First on orders-1: word word" in letter.body
    assert max(map(len, letter.body.splitlines())) < 400
    assert "over" not in letter.body


def test_a_webhooks_summary_says_the_same_of_a_lone_breaker() -> None:
    breaker = make_breaker("catalog", instances=THREE)
    hook = make_channel(kind="webhook", config={"url": "http://127.0.0.1:1/"})
    make_rule(channels=[hook])
    began = opens(breaker, *THREE)
    evaluate_pending()

    (due,) = claim_due(now=database_now(), limit=9, each=9, speed=Speed.UNKNOWN)

    assert due.parcel is not None
    assert json.loads(due.parcel.body)["data"]["incident"]["summary"] == (
        "orders/catalog opened in prod: open on 3 of 3 instances since "
        f"{began:%Y-%m-%d %H:%M:%S} UTC. First on orders-1: 3 failures in a row"
    )
