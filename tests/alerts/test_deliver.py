"""Deliveries on a real database and through real connections, with a clock that tests set."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from alerts.channel_changes import change_channel
from alerts.channels import Failed, Sent
from alerts.deliver import _DUE, Claimed, Speed, bury, claim_due, finish, retry_delivery
from alerts.due import sweep
from alerts.evaluate import evaluate_pending
from alerts.incidents import acknowledge_incident, resolve_incident
from alerts.models import Attempt, Channel, Delivery, Incident
from breakers.clock import database_now
from breakers.errors import Conflict
from breakers.models import AuditEntry
from tests.support.make import happens, make_actor, make_breaker, make_channel, make_rule

pytestmark = pytest.mark.django_db
DOWN, OK = Failed(503, "Answered 503."), Sent(200, "Answered 200.")


def due(now: datetime, *, each: int = 50) -> list[Claimed]:
    return [one for speed in Speed for one in claim_due(now=now, limit=100, each=each, speed=speed)]


def attempt(now: datetime, outcome: Sent | Failed) -> list[str]:
    """Claims all that is due and has it end like this; gives the types."""
    claimed = due(now)
    for one in claimed:
        finish(one, outcome, took_ms=5, now=now, luck=0.5)
    return [one.parcel.message.type for one in claimed if one.parcel]


def statuses(**which: object) -> list[tuple[str, str]]:
    return list(Delivery.objects.filter(**which).order_by("id").values_list("type", "status"))


@pytest.fixture
def channel() -> Channel:
    return make_channel(kind="webhook", config={"url": "http://127.0.0.1:1/"})


def opened(channel: Channel, **rule: object) -> Incident:
    make_rule(channels=[channel], **rule)
    happens(make_breaker("catalog"), "open")
    evaluate_pending()
    return Incident.objects.get()


def later(seconds: float) -> datetime:
    return database_now() + timedelta(seconds=seconds)


def test_a_blip_is_told_from_beginning_to_end(channel: Channel):
    make_rule(channels=[channel])
    breaker = make_breaker()
    happens(breaker, "open")
    happens(breaker, "closed")
    evaluate_pending()

    assert attempt(later(0), OK) == ["incident.firing"]
    assert attempt(later(0), OK) == ["incident.resolved"]
    first, last = Delivery.objects.order_by("id")
    assert first.message["incident"]["status"] == "firing"
    assert last.message["incident"]["status"] == "resolved"


def test_a_dry_run_tells_nobody(channel: Channel):
    opened(channel, dry_run=True)

    assert not Delivery.objects.exists()


def test_each_channel_of_a_rule_is_told_and_a_disabled_one_is_not(channel: Channel):
    other, off = make_channel(), make_channel(enabled=False)
    make_rule(channels=[channel, other, off])
    happens(make_breaker(), "open")
    evaluate_pending()

    told = Delivery.objects.order_by("channel").values_list("channel", flat=True)
    assert list(told) == [channel.pk, other.pk]


def test_the_id_and_the_body_are_the_same_at_each_attempt(channel: Channel):
    opened(channel)

    (first,) = due(later(0))
    finish(first, DOWN, took_ms=1, now=later(0), luck=0.5)
    (second,) = due(later(3))

    assert first.parcel
    assert second.parcel
    assert (first.parcel.id, first.parcel.body) == (second.parcel.id, second.parcel.body)
    assert json.loads(first.parcel.body)["data"]["breakers"][0]["state"] == "open"


def test_it_waits_between_attempts_and_keeps_a_log(channel: Channel):
    opened(channel)
    begin = later(0)

    assert attempt(begin, DOWN) == ["incident.firing"]
    assert attempt(begin + timedelta(seconds=1.9), DOWN) == []
    assert attempt(begin + timedelta(seconds=2), DOWN) == ["incident.firing"]
    assert attempt(begin + timedelta(seconds=12), OK) == ["incident.firing"]

    log = Attempt.objects.order_by("number").values_list("number", "ok", "status")
    assert list(log) == [(1, False, 503), (2, False, 503), (3, True, 200)]
    assert statuses() == [("incident.firing", "sent")]


def test_a_newer_message_replaces_one_that_waits_and_it_says_so(channel: Channel):
    incident = opened(channel)
    attempt(later(0), DOWN)

    resolve_incident(incident.pk, by=make_actor(), note="", now=later(0))

    assert statuses() == [("incident.firing", "superseded"), ("incident.resolved", "pending")]
    old, new = Delivery.objects.order_by("id")
    assert old.superseded_by == new
    assert "incident.resolved" in old.detail
    assert attempt(later(0), OK) == ["incident.resolved"]


def test_one_in_flight_is_replaced_once_it_has_failed(channel: Channel):
    incident = opened(channel)
    (flying,) = due(later(0))
    resolve_incident(incident.pk, by=make_actor(), note="", now=later(0))

    assert due(later(0)) == []  # the later one waits for its turn
    finish(flying, DOWN, took_ms=1, now=later(0), luck=0.5)

    assert statuses() == [("incident.firing", "superseded"), ("incident.resolved", "pending")]


def test_one_in_flight_that_succeeds_was_sent(channel: Channel):
    incident = opened(channel)
    (flying,) = due(later(0))
    acknowledge_incident(incident.pk, by=make_actor(), note="", now=later(0))
    finish(flying, OK, took_ms=1, now=later(0), luck=0.5)

    assert statuses() == [("incident.firing", "sent"), ("incident.acknowledged", "pending")]


def test_a_claim_is_nobody_elses_until_its_lease_is_over(channel: Channel):
    opened(channel)
    (first,) = due(later(0))

    assert due(later(1)) == []
    (second,) = due(later(61))

    finish(first, OK, took_ms=1, now=later(61), luck=0.5)
    assert statuses() == [("incident.firing", "pending")]  # the late one writes nothing
    finish(second, OK, took_ms=1, now=later(61), luck=0.5)
    assert statuses() == [("incident.firing", "sent")]
    assert first.parcel
    assert second.parcel
    assert first.parcel.id == second.parcel.id


def test_it_is_dead_after_72_hours_and_can_be_revived(channel: Channel):
    opened(channel)
    now = later(0)
    tries = 0
    while statuses() == [("incident.firing", "pending")]:
        now = Delivery.objects.get().due_at
        attempt(now, DOWN)
        tries += 1
        assert tries < 200

    row = Delivery.objects.get()
    assert row.status == "dead"
    assert "72 hours" in row.detail
    assert timedelta(hours=70) < now - row.created_at <= timedelta(hours=72)
    assert tries == pytest.approx(77, abs=3)  # five quick ones, then hourly

    retry_delivery(row.pk, by=make_actor(), now=now)
    assert attempt(now, OK) == ["incident.firing"]
    assert AuditEntry.objects.filter(action="retry_delivery").exists()


def test_what_was_sent_or_replaced_is_not_sent_again(channel: Channel):
    incident = opened(channel)
    attempt(later(0), DOWN)
    resolve_incident(incident.pk, by=make_actor(), note="", now=later(0))
    attempt(later(0), OK)

    for row in Delivery.objects.all():
        with pytest.raises(Conflict):
            retry_delivery(row.pk, by=make_actor(), now=later(0))


def test_410_switches_the_channel_off_and_another_says_so(channel: Channel):
    other = make_channel()
    incident = opened(channel)

    attempt(later(0), Failed(410, "Answered 410.", gone=True))

    channel.refresh_from_db()
    assert not channel.enabled
    assert "410" in (channel.disabled_why or "")
    assert statuses(incident=incident) == [("incident.firing", "dead")]
    notice = Delivery.objects.get(type="channel.disabled")
    assert notice.channel == other
    assert AuditEntry.objects.filter(action="disable_channel", actor_kind="server").exists()
    assert attempt(later(0), OK) == ["channel.disabled"]


def test_five_days_of_failure_switch_the_channel_off(channel: Channel):
    opened(channel)
    attempt(later(0), DOWN)
    Channel.objects.update(failing_since=later(0) - timedelta(days=5))

    attempt(later(3), DOWN)

    channel.refresh_from_db()
    assert not channel.enabled


def test_a_success_ends_the_failing(channel: Channel):
    opened(channel)
    attempt(later(0), DOWN)
    channel.refresh_from_db()
    assert channel.failing_since

    attempt(later(3), OK)

    channel.refresh_from_db()
    assert channel.failing_since is None


def test_what_waits_for_a_channel_that_is_off_is_dead(channel: Channel):
    opened(channel)
    change_channel(
        channel.pk,
        name="x",
        kind="webhook",
        config={"url": "http://127.0.0.1:1/"},
        enabled=False,
        by=make_actor(),
        now=later(0),
    )

    assert bury(later(0)) == 1
    assert statuses() == [("incident.firing", "dead")]
    with pytest.raises(Conflict):
        retry_delivery(Delivery.objects.get().pk, by=make_actor(), now=later(0))


def test_updates_gather_and_come_at_most_every_30_seconds(channel: Channel):
    incident = opened(channel)
    attempt(later(0), OK)

    for _ in range(3):
        happens(make_breaker(), "open")
        evaluate_pending()
    sweep(later(0))
    assert attempt(later(0), OK) == []
    sweep(later(3))
    assert attempt(later(3), OK) == ["incident.updated"]
    assert Delivery.objects.last().message["breakers_total"] == 4

    happens(make_breaker(), "open")
    evaluate_pending()
    sweep(later(20))
    assert attempt(later(20), OK) == []
    sweep(later(34))
    assert attempt(later(34), OK) == ["incident.updated"]
    assert incident.pk == Incident.objects.get().pk


def test_who_was_told_of_the_beginning_is_told_of_the_end(channel: Channel):
    incident = opened(channel)
    attempt(later(0), OK)
    rule = incident.rule
    added = make_channel()
    rule.channels.set([added])

    resolve_incident(incident.pk, by=make_actor(), note="", now=later(0))

    assert Delivery.objects.get(type="incident.resolved").channel == channel


def test_few_of_one_channel_are_claimed_at_a_time(channel: Channel):
    other = make_channel()
    for target in "abcde":
        happens(make_breaker(target=target), "open")
    make_rule(channels=[channel, other])
    evaluate_pending()

    claimed = due(later(3), each=2)

    assert sorted(one.channel_id for one in claimed) == sorted([channel.pk] * 2 + [other.pk] * 2)


@pytest.mark.parametrize(
    ("outcome", "took_ms", "speed"),
    [
        (OK, 3000, Speed.QUICK),
        (OK, 3001, Speed.SLOW),
        (DOWN, 5, Speed.SLOW),
    ],
)
def test_a_channel_is_as_quick_as_its_last_attempt(
    channel: Channel, outcome: Sent | Failed, took_ms: int, speed: Speed
):
    make_rule(channels=[channel])
    for target in "ab":
        happens(make_breaker(target=target), "open")
    evaluate_pending()

    (first,) = claim_due(now=later(0), limit=9, each=1, speed=Speed.UNKNOWN)
    finish(first, outcome, took_ms=took_ms, now=later(0), luck=0.5)

    claimed = {
        one: len(claim_due(now=later(0), limit=9, each=1, speed=one)) for one in reversed(Speed)
    }
    assert claimed == {Speed.QUICK: 0, Speed.UNKNOWN: 0, Speed.SLOW: 0} | {speed: 1}


def test_channels_take_turns_however_much_waits_for_one(channel: Channel):
    other = make_channel(kind="webhook", config={"url": "http://127.0.0.1:1/"})
    Channel.objects.update(last_took_ms=5, last_attempt_at=later(-60))
    for targets, channels in (("abcd", [channel]), ("ef", [other])):
        make_rule(channels=channels, matchers=[f'target=~"[{targets}]"'])
        for target in targets:
            happens(make_breaker(target=target), "open")
    evaluate_pending()
    Delivery.objects.filter(channel=channel).update(due_at=later(-30))

    turns = []
    for _ in range(6):
        (one,) = claim_due(now=later(0), limit=1, each=1, speed=Speed.QUICK)
        finish(one, OK, took_ms=5, now=later(0), luck=0.5)
        turns.append(one.channel_id)

    assert turns == [channel.pk, other.pk] * 2 + [channel.pk] * 2


def test_a_channel_with_attempts_under_way_lets_others_go_first_and_has_few(channel: Channel):
    other = make_channel()
    for target in "abc":
        happens(make_breaker(target=target), "open")
    make_rule(channels=[channel, other])
    evaluate_pending()

    def claimed(busy: list[int]) -> list[int]:
        found = claim_due(now=later(3), limit=2, each=2, speed=Speed.UNKNOWN, busy=busy)
        return [one.channel_id for one in found]

    assert claimed([channel.pk]) == [other.pk] * 2
    assert claimed([channel.pk, other.pk, other.pk]) == [channel.pk]


def test_what_waits_for_one_channel_is_not_compared_each_with_each(channel: Channel):
    # Without statistics of the tables, as after a burst: only their owner may gather them.
    incident = opened(channel)
    about = Delivery.objects.get()
    others = Incident.objects.bulk_create(
        copied(incident, group_key=f"group-{number}") for number in range(300)
    )
    Delivery.objects.bulk_create(copied(about, incident=one, message_id=uuid4()) for one in others)
    values = {"now": later(0), "limit": 9, "each": 2, "speed": "unknown", "slow_ms": 1, "busy": []}

    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + _DUE, values)
        [([told],)] = cursor.fetchall()

    assert 300 < sum(rows_of(told["Plan"])) < 3000


def copied(row: Any, **changes: object) -> Any:
    """The same as a row that is not stored yet."""
    made = deepcopy(row)
    made.pk = None
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def rows_of(node: dict[str, Any]) -> Iterator[int]:
    """How many rows were looked at, step by step."""
    removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Join Filter", 0)
    yield node["Actual Loops"] * (node["Actual Rows"] + removed)
    for below in node.get("Plans", ()):
        yield from rows_of(below)


def test_a_channel_whose_secrets_cannot_be_read_fails_in_words(channel: Channel, settings):
    opened(channel)
    settings.SECRET_KEY = "another secret key, of the length that Django wants for one"

    (claimed,) = due(later(0))

    assert isinstance(claimed.ready, Failed)
    assert "decrypted" in claimed.ready.detail


def test_through_a_real_receiver_retry_after_is_respected(httpserver: HTTPServer):
    answers = iter([Response("", 503, {"Retry-After": "600"}), Response("", 200)])

    def answer(request: Request) -> Response:
        return next(answers)

    httpserver.expect_request("/hook").respond_with_handler(answer)
    opened(make_channel(kind="webhook", config={"url": httpserver.url_for("/hook")}))

    (claimed,) = due(later(0))
    assert claimed.kind
    assert claimed.parcel
    outcome = claimed.kind.send(claimed.parcel)
    finish(claimed, outcome, took_ms=1, now=later(0), luck=0.5)

    wait = Delivery.objects.get().due_at - database_now()
    assert 590 < wait.total_seconds() < 601
