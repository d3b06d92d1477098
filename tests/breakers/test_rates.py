"""Of what calls a rate is: one of an old window, or of trial calls alone, is said to be."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from breakers.live.board import summaries
from breakers.models import Breaker, Instance
from tests.support.make import make_breaker, make_instance

pytestmark = pytest.mark.django_db
SECOND = timedelta(seconds=1)


def counted(
    breaker: Breaker,
    name: str,
    state: str,
    *,
    since: int,
    counted_at: int,
    outage: int | None = None,
) -> None:
    """An instance so long in its state, with half of the calls of ten seconds failed, seconds ago."""
    held, now = make_instance(breaker, name, state=state), timezone.now()
    held.since = now - since * SECOND
    held.not_closed_since = None if outage is None else now - outage * SECOND
    held.metrics, held.metrics_at = (
        {"calls": 10, "failed": 5, "window": 10},
        now - counted_at * SECOND,
    )
    held.save()


@pytest.mark.parametrize(
    ("state", "since", "outage", "counted_at", "said"),
    [
        ("closed", 60, None, 5, None),
        ("closed", 5, None, 5, "before"),
        ("closed", 5, None, 9, "before"),
        ("open", 60, 60, 60, None),  # what it tripped by
        ("open", 3, 60, 5, "trials"),
        ("half_open", 3, 60, 5, "trials"),
        ("open", 8, 8, 5, None),  # the window reaches back before the trip
    ],
)
def test_what_the_rate_is_of(
    state: str, since: int, outage: int | None, counted_at: int, said: str | None
) -> None:
    breaker = make_breaker(instances=())
    counted(breaker, "a", state, since=since, counted_at=counted_at, outage=outage)

    (summary,) = summaries([breaker.pk])

    assert summary.failure_rate == 50
    assert summary.rate_of == said


def test_of_a_mixture_nothing_is_said() -> None:
    breaker = make_breaker(instances=())
    counted(breaker, "a", "closed", since=60, counted_at=5)
    counted(breaker, "b", "open", since=3, counted_at=5, outage=60)

    (summary,) = summaries([breaker.pk])

    assert summary.rate_of is None


@pytest.mark.parametrize(
    ("counted_at", "clock_behind_s", "is_shown"),
    [
        (100, None, True),
        (125, None, False),
        (125, 60.0, True),
        (3600, 60.0, False),
        # No clock at all, but what somebody says: the year 9999, and the year 1.
        (100, -2.5e11, True),
        (3600, 6.4e10, False),
    ],
)
def test_a_rate_is_shown_as_long_as_rules_take_it_for_what_is_so(
    counted_at: int, clock_behind_s: float | None, is_shown: bool
) -> None:
    breaker = make_breaker(instances=())
    counted(breaker, "a", "closed", since=7200, counted_at=counted_at)
    Instance.objects.update(clock_behind_s=clock_behind_s)

    (summary,) = summaries([breaker.pk])

    assert summary.failure_rate == (50 if is_shown else None)
    assert summary.calls_per_second == (1 if is_shown else None)
