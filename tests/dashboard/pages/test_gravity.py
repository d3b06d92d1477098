"""Gravest first: the server's order, held to the cases that the browser's is held to as well."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from alerts.evaluate import evaluate_pending
from breakers.desired.override import OverrideWish, override_breaker, release_breaker
from breakers.live.past import SummaryThen
from breakers.models import Breaker, BreakerInstance, Instance, Role
from breakers.states import Mode
from dashboard.pages.arranging import Wish, arrange
from dashboard.pages.gravity import Rung, rung
from tests.dashboard.pages.test_words import summary
from tests.support.make import happens, make_actor, make_breaker, make_rule
from tests.support.people import signed_in, text_of

CASES: dict[str, Any] = json.loads(
    (Path(__file__).parents[3] / "frontend" / "test" / "cases" / "gravity.json").read_text()
)
NOW = datetime.fromisoformat(CASES["now"])
EVERYTHING = Wish("", frozenset(), "")


def standing(case: dict[str, Any], id: int = 1) -> Any:
    return summary(id=str(id), target=str(10 + id), **case["breaker"])


@pytest.mark.parametrize("case", CASES["gravest_first"], ids=lambda case: case["what"])
def test_how_grave_a_standing_is(case: dict[str, Any]) -> None:
    found = rung(standing(case), has_incident=case.get("incident", False), now=NOW)

    assert found.name.lower() == case["rung"]


def test_the_board_stands_in_this_order_whatever_order_it_comes_in() -> None:
    made = [standing(case, n) for n, case in enumerate(CASES["gravest_first"])]
    in_incidents = {
        one.id
        for one, case in zip(made, CASES["gravest_first"], strict=True)
        if case.get("incident")
    }

    shown = arrange(made[::-1], EVERYTHING, now=NOW, in_incidents=in_incidents)

    assert shown["look"] + shown["well"] + shown["gone"] == made
    assert [one.name.lower() for one in Rung] == list(
        dict.fromkeys(case["rung"] for case in CASES["gravest_first"])
    )


def test_of_the_past_only_what_history_knows_counts() -> None:
    then = SummaryThen(
        id="1",
        environment="prod",
        service="orders",
        breaker="catalog",
        target=None,
        state="open",
        states={"open": 1},
        instances=1,
        since=NOW - timedelta(days=3),
        not_closed_since=None,
        override=None,
    )

    assert rung(then, has_incident=False, now=NOW) is Rung.OPEN


def rows_of(client: Client) -> list[str]:
    """Ids of the breakers that need a look, as the page lists them."""
    page = text_of(client, "/")
    return [row.split('"')[0] for row in page.split('<li class="row" data-breaker="')[1:]]


@pytest.mark.django_db
def test_the_board_knows_of_incidents_losses_refusals_and_old_words() -> None:
    refused = make_breaker("refused", instances=["a"])
    wish = OverrideWish(mode=Mode.FORCED_OPEN, reason="drill", expires_at=None)
    made = override_breaker(refused, wish=wish, by=make_actor(), now=timezone.now())
    BreakerInstance.objects.filter(breaker=refused).update(
        refused_revision=made.revision, refused_error="no"
    )
    Instance.objects.filter(name="a").update(connected=True)
    partly = make_breaker("partly", service="feed", instances=["b", "c"])
    Instance.objects.filter(name="c").update(lost_at=timezone.now())
    old = make_breaker("old", service="legacy", state="open")
    Breaker.objects.filter(pk=old.pk).update(updated_at=timezone.now() - timedelta(hours=2))
    make_breaker("well", service="quiet")
    # Closed by now, which is not well before a minute has passed.
    firing = make_breaker("firing", service="mail", instances=["d"])
    make_rule("not for a minute", clear_for=60, matchers=['breaker="firing"'])
    happens(firing, "open", instance="d")
    evaluate_pending()
    happens(firing, "closed", instance="d")
    evaluate_pending()

    shown = rows_of(signed_in(Role.VIEWER))

    assert shown == [str(one.pk) for one in (refused, firing, partly, old)]


@pytest.mark.django_db
def test_what_took_its_leave_is_no_longer_running_and_not_lost() -> None:
    gone = make_breaker("gone", service="feed")
    make_breaker("well", service="quiet", instances=["q"])
    left_at = timezone.now() - timedelta(minutes=3)
    Instance.objects.filter(name="default").update(retired_at=left_at)
    Breaker.objects.update(created_at=left_at - timedelta(minutes=3))
    viewer = signed_in(Role.VIEWER)

    page = text_of(viewer, "/")

    assert rows_of(viewer) == []
    assert "The one breaker is closed." in page
    assert "<b>No longer running</b>" in page.split('id="well-title"')[1]
    assert "<b>0</b> unknown" in page
    assert 'data-breaker="' not in text_of(viewer, "/?state=unknown").split("</nav>")[-1]
    then = text_of(viewer, f"/?at={timezone.now():%Y-%m-%dT%H:%M:%SZ}")
    assert "<b>No longer running</b>" in then
    own = text_of(viewer, f"/breakers/{gone.pk}/")
    assert "No longer running</b></span>: no instance holds it any more." in own
    assert f'since <pb-time at="{left_at.isoformat()}"' in own


@pytest.mark.django_db
def test_an_instance_that_has_not_heard_of_an_overrides_end_needs_a_look() -> None:
    breaker = make_breaker("catalog", instances=["a", "b", "c"])
    wish = OverrideWish(mode=Mode.FORCED_CLOSED, reason="drill", expires_at=None)
    made = override_breaker(breaker, wish=wish, by=make_actor(), now=timezone.now())
    Instance.objects.update(connected=True)
    held = BreakerInstance.objects.filter(breaker=breaker)
    held.update(state="forced_closed", applied_revision=made.revision)
    release_breaker(breaker, reason="over", by=make_actor(), now=timezone.now())
    held.filter(instance__name="a").update(state="closed")
    viewer = signed_in(Role.VIEWER)

    assert rows_of(viewer) == [str(breaker.pk)]
    assert "still forced on 2 instances" in text_of(viewer, "/")
    own = text_of(viewer, f"/breakers/{breaker.pk}/")
    assert "in 2 of 3 instances. There, calls to catalog go through, whatever becomes" in own
    assert "Still forced on 2 instances that have not heard that the override is over." in own


@pytest.mark.django_db
def test_who_is_not_heard_any_more_is_told_before_it_is_lost() -> None:
    breaker = make_breaker("catalog", instances=["a", "b"])
    Instance.objects.update(connected=True)
    viewer = signed_in(Role.VIEWER)
    assert rows_of(viewer) == []

    Instance.objects.filter(name="b").update(connected=False)

    assert rows_of(viewer) == [str(breaker.pk)]
    assert "2 of 2 closed, 1 not connected" in text_of(viewer, "/")
