"""The calls of the last hour, drawn and told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from breakers.metrics.read import Point
from breakers.models import Role
from dashboard.pages.chart import chart_of
from tests.support.make import make_breaker
from tests.support.people import signed_in, text_of

T0 = datetime(2026, 11, 9, 14, tzinfo=UTC)


def minute(
    n: int, calls: float | None = None, failed: float | None = None, refused: float | None = None
) -> Point:
    rate = None if not calls or failed is None else 100 * failed / calls
    return Point(
        T0 + n * timedelta(minutes=1),
        calls=calls,
        failed=failed,
        not_permitted=refused,
        failure_rate=rate,
    )


def test_columns_are_as_high_as_their_calls_and_gaps_stay_gaps() -> None:
    chart = chart_of([minute(0, 50, 0), minute(1), minute(2, 100, 25, 40)])

    assert chart is not None
    assert [(one.x, one.top, one.height) for one in chart.columns] == [(0, 50, 50), (2, 0, 100)]
    assert (chart.columns[1].failed_top, chart.columns[1].failed_height) == (75, 25)
    assert chart.most == "100"
    assert chart.said == "150 calls in the last hour, 25 failed, 40 more refused."
    assert chart.worst == chart.columns[1]
    assert (chart.worst.at, chart.worst.rate) == (T0 + timedelta(minutes=2), "25%")


def test_where_no_call_failed_no_minute_was_the_worst() -> None:
    chart = chart_of([minute(0, 50, 0), minute(1, 3)])

    assert chart is not None
    assert chart.worst is None


def test_without_a_count_there_is_no_chart() -> None:
    assert chart_of([minute(0), minute(1)]) is None


def test_minutes_in_which_all_was_refused_are_there_and_low() -> None:
    chart = chart_of([minute(0, 0, 0, 12), minute(1)])

    assert chart is not None
    assert [(one.height, one.refused) for one in chart.columns] == [(0, "12")]


@pytest.mark.django_db
def test_the_page_says_what_draws_the_chart_where_there_is_nothing_yet() -> None:
    breaker = make_breaker()

    page = text_of(signed_in(Role.VIEWER), f"/breakers/{breaker.pk}/")

    assert "No calls were counted in the last hour." in page
