"""A preview says what evaluation did: the same history, judged as it came in."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from alerts import preview
from alerts.matchers import parse_matchers
from alerts.preview import Preview, PreviewSpan, preview_rule
from alerts.rulebook import Condition
from alerts.rules import RuleKind
from alerts.rules.flapping import Flapping
from alerts.rules.instance_lost import InstanceLost
from alerts.rules.open_for import OpenFor
from alerts.rules.opened import Opened
from breakers.errors import Invalid
from breakers.models import Breaker, Instance
from tests.alerts.api.callers import Caller
from tests.support.make import make_actor, make_breaker, make_event

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


NOW = timezone.now()


def told(
    breaker: Breaker,
    *changes: tuple[float, str],
    instance: str = "default",
    cause: str = "automatic",
) -> None:
    """Each so many minutes ago; the last is what the breaker is now."""
    for ago, to in changes:
        make_event(breaker, to, instance=instance, at=NOW - ago * MINUTE, cause=cause)
    held = breaker.breaker_instances.get(instance__name=instance)
    held.state, held.since = changes[-1][1], NOW - changes[-1][0] * MINUTE
    held.save()


def seen(kind: RuleKind | None = None, **fields: Any) -> Preview:
    matchers = parse_matchers(fields.pop("matchers", ()))
    since, until = fields.pop("since", NOW - HOUR), fields.pop("until", NOW)
    return preview_rule(
        Condition(kind or Opened(), matchers),
        group_by=fields.pop("group_by", ["target"]),
        clear_for=fields.pop("clear_for", 0),
        actor=fields.pop("actor", make_actor()),
        span=PreviewSpan(since, until),
    )


def spans(found: Preview) -> list[tuple[int, int | None]]:
    """Minutes ago of each beginning and end, newest first."""
    return [
        (
            round((NOW - one.started_at) / MINUTE),
            None if one.resolved_at is None else round((NOW - one.resolved_at) / MINUTE),
        )
        for one in found.incidents
    ]


def test_each_outage_of_the_span_is_an_incident() -> None:
    breaker = make_breaker("catalog")
    told(breaker, (90, "closed"), (50, "open"), (40, "closed"), (30, "open"), (25, "half_open"),
         (24, "open"), (20, "closed"), (10, "open"))  # fmt: skip

    found = seen()

    assert spans(found) == [(10, None), (30, 20), (50, 40)]
    assert (found.total, found.breakers, found.events) == (3, 1, 7)
    assert found.incidents[0].breakers == [breaker.pk]
    assert found.incidents[0].summary == "orders/catalog opened in prod"


def test_what_was_firing_before_is_said_to_be_so_and_what_came_after_is_not_seen() -> None:
    told(make_breaker(), (90, "open"), (40, "closed"), (5, "open"))

    (one,) = seen(until=NOW - 30 * MINUTE).incidents

    assert one.from_before
    assert one.started_at == NOW - HOUR
    assert one.resolved_at == NOW - 40 * MINUTE


def test_a_breaker_that_did_not_change_is_what_it_is() -> None:
    told(make_breaker(), (90, "open"))
    make_breaker(target="else", state="closed")

    (one,) = seen().incidents

    assert one.from_before
    assert one.resolved_at is None


def test_a_late_event_fires_nothing() -> None:
    breaker = make_breaker()
    told(breaker, (45, "closed"))
    make_event(breaker, "open", at=NOW - 50 * MINUTE, received_at=NOW - 44 * MINUTE)

    assert seen().incidents == []


def test_what_was_received_in_the_span_counts_whenever_it_occurred() -> None:
    breaker = make_breaker()
    told(breaker, (300, "closed"))
    make_event(breaker, "open", at=NOW - 120 * MINUTE, received_at=NOW - 30 * MINUTE)

    found = seen()

    assert spans(found) == [(30, None)]
    assert not found.incidents[0].from_before


def test_breakers_of_one_target_share_an_incident_and_clear_for_bridges_gaps() -> None:
    told(make_breaker("a"), (50, "open"), (45, "closed"))
    told(make_breaker("b"), (47, "open"), (40, "closed"))
    told(
        make_breaker("c", target="else"), (30, "open"), (28, "closed"), (27, "open"), (20, "closed")
    )

    assert spans(seen()) == [(27, 20), (30, 28), (50, 40)]
    assert spans(seen(clear_for=120)) == [(30, 18), (50, 38)]
    assert len(seen(group_by=["breaker"]).incidents) == 4


def test_a_condition_that_waits_is_asked_again_when_it_is_due() -> None:
    told(make_breaker("a"), (50, "open"), (48, "closed"), (40, "open"), (30, "closed"))
    told(make_breaker("b", target="else"), (64, "open"), (10, "closed"))

    assert spans(seen(OpenFor(for_=300))) == [(35, 30), (59, 10)]


def test_an_instance_that_retired_says_nothing_any_more() -> None:
    breaker = make_breaker(instances=("a", "b"))
    told(breaker, (50, "open"), instance="a")
    told(breaker, (80, "closed"), instance="b")
    Instance.objects.filter(name="a").update(retired_at=NOW - 30 * MINUTE)

    assert spans(seen()) == [(50, 30)]


def test_matchers_and_limits_narrow_it() -> None:
    told(make_breaker(service="orders"), (50, "open"))
    told(make_breaker(service="feed", target="else"), (40, "open"))

    assert spans(seen(matchers=['service="feed"'])) == [(40, None)]
    assert spans(seen(actor=make_actor(services=["orders"]))) == [(50, None)]


def test_more_than_can_be_replayed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    told(make_breaker(), (50, "open"), (45, "closed"), (40, "open"))
    monkeypatch.setattr(preview, "EVENTS_MOST", 2)

    with pytest.raises(Invalid, match="events were received"):
        seen()


def test_the_call_answers_for_a_rule_that_is_not_made() -> None:
    told(make_breaker("catalog"), (50, "open"), (40, "closed"))
    asked = {"kind": "opened", "since": (NOW - HOUR).isoformat(), "name": ""}
    call = Caller()

    said = call.post("/rules/preview", asked, status=200)

    assert (said["total"], said["events"], said["breakers"]) == (1, 2, 1)
    assert said["incidents"][0]["summary"] == "orders/catalog opened in prod"
    assert call.get("/rules")["items"] == []
    assert Caller(["read"])("POST", "/rules/preview", asked)[0] == 403
    for wrong, loc in (
        ({"kind": "no_such"}, ["kind"]),
        ({"since": (NOW - 40 * 24 * HOUR).isoformat()}, ["since"]),
        ({"since": (NOW + HOUR).isoformat()}, ["since"]),
        ({"until": "0001-01-01T00:00:00Z", "since": None}, ["until"]),
        ({"since": "yesterday"}, ["since"]),
    ):
        status, refused = call("POST", "/rules/preview", asked | wrong)
        assert (status, refused["errors"][0]["loc"]) == (422, loc), wrong


def test_an_outage_goes_on_through_its_failed_probes() -> None:
    told(make_breaker("catalog"), (50, "open"), (45, "half_open"), (44, "open"), (30, "closed"))

    assert spans(seen(OpenFor(for_=600))) == [(40, 30)]


def test_trips_are_counted_as_they_came_and_are_forgotten_in_time() -> None:
    told(make_breaker("catalog"), (50, "open"), (48, "closed"), (46, "open"), (45, "closed"))

    assert spans(seen(Flapping(trips=2, window=600))) == [(46, 40)]


def test_trips_by_hand_are_no_flapping_in_a_preview_either() -> None:
    breaker = make_breaker("catalog")
    told(breaker, (50, "open"), (48, "closed"), (46, "open"), (45, "closed"), cause="manual")
    told(breaker, (44, "open"), (43, "closed"))

    assert spans(seen(Flapping(trips=2, window=600))) == []


def test_a_lost_instance_is_an_incident_until_it_is_back() -> None:
    breaker = make_breaker("catalog")
    told(breaker, (50, "closed"), (40, "unknown"), (30, "closed"))

    assert spans(seen(InstanceLost())) == [(40, 30)]


def test_a_kind_of_which_history_keeps_too_little_is_refused() -> None:
    rule = {"kind": "failure_rate", "params": {"threshold": 50}}

    status, answer = Caller()("POST", "/rules/preview", rule)

    assert (status, answer["errors"][0]["loc"]) == (422, ["kind"])
