"""Snapshots summed up: nothing counted twice, nothing invented, and the same whatever the order of receipt."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from breakers.metrics.read import Point, Range, points_of
from breakers.metrics.rollup import forget_old_sums, roll_up, roll_up_span
from breakers.metrics.span import Source, Span
from breakers.models import Breaker
from tests.support.make import make_breaker, make_instance
from tests.support.sampled import sampled

pytestmark = pytest.mark.django_db

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
NOW = timezone.now().replace(microsecond=0)
T0 = (NOW - 6 * HOUR).replace(minute=0, second=0)


def rolled(*, since: datetime = T0 - 24 * HOUR) -> None:
    """Everything that was received is summed up."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE metric_progress SET received_until = %s", [since])
    roll_up(now=timezone.now())


def read(
    breaker: Breaker, source: Source, *, since: datetime = T0, minutes: int = 3, step: int = 60
) -> list[Point]:
    until = since + minutes * MINUTE
    return points_of(breaker, Span(since=since, until=until, step=step, source=source))


def calls(breaker: Breaker, source: Source = Source.MINUTES) -> list[float | None]:
    return [point.calls for point in read(breaker, source)]


def test_windows_that_abut_count_every_call_once() -> None:
    breaker = make_breaker()
    for second in range(10, 121, 10):
        sampled(breaker, T0 + second * SECOND, calls=5, failed=1, not_permitted=2, window=10)

    rolled()

    first, second, third = read(breaker, Source.MINUTES)
    assert (first.calls, first.failed, first.not_permitted, first.failure_rate) == (30, 6, 12, 20)
    assert first.covered == 60
    assert second == first._replace(at=T0 + MINUTE)
    assert third == Point(T0 + 2 * MINUTE)


def test_windows_that_overlap_count_nothing_twice() -> None:
    breaker = make_breaker()
    for second in range(60, 181, 10):
        sampled(breaker, T0 + second * SECOND, calls=60, window=60)

    rolled()

    assert calls(breaker) == [60, 60, 60]


def test_a_gap_counts_nothing_and_a_window_across_minutes_is_shared_out() -> None:
    breaker = make_breaker()
    sampled(breaker, T0 + 80 * SECOND, calls=40, window=40)
    sampled(breaker, T0 + 170 * SECOND, calls=10, window=10)

    rolled()

    points = read(breaker, Source.MINUTES)
    assert [point.calls for point in points] == [20, 20, 10]
    assert [point.covered for point in points] == [20, 20, 10]


def test_rates_are_worked_out_from_counts_and_percentiles_are_a_range() -> None:
    breaker = make_breaker(instances=["a", "b"])
    at = T0 + 60 * SECOND
    sampled(breaker, at, instance="a", calls=900, failed=9, p50_ms=10, p99_ms=80, window=60)
    sampled(breaker, at, instance="b", calls=100, failure_rate=51, p50_ms=30, window=60)

    rolled()

    point = read(breaker, Source.MINUTES)[0]
    assert (point.calls, point.failed, point.failure_rate) == (1000, 60, 6)
    assert (point.p50_ms, point.p95_ms, point.p99_ms) == (Range(10, 30), None, Range(80, 80))
    assert point.covered == 120


def test_calls_of_which_nothing_was_told_do_not_thin_the_rate() -> None:
    breaker = make_breaker(instances=["a", "b"])
    sampled(breaker, T0 + MINUTE, instance="a", calls=10, failed=5, window=60)
    sampled(breaker, T0 + MINUTE, instance="b", calls=90, window=60)

    rolled()

    point = read(breaker, Source.MINUTES)[0]
    assert (point.calls, point.failure_rate, point.slow_rate) == (100, 50, None)


def test_a_sample_without_a_window_tells_latencies_alone() -> None:
    breaker = make_breaker()
    sampled(breaker, T0 + 30 * SECOND, calls=10, failed=5, p50_ms=7)

    rolled()

    point = read(breaker, Source.MINUTES)[0]
    assert (point.calls, point.failed, point.p50_ms, point.covered) == (None, None, Range(7, 7), 0)


def test_a_late_snapshot_is_put_where_it_belongs() -> None:
    breaker = make_breaker()
    sampled(breaker, T0 + 30 * SECOND, calls=30, window=30)
    sampled(breaker, T0 + 120 * SECOND, calls=30, window=30)
    rolled()
    assert calls(breaker) == [30, 30, None]

    sampled(breaker, T0 + 90 * SECOND, calls=60, window=60, received=T0 + 5 * HOUR)
    rolled(since=T0 + 4 * HOUR)

    assert calls(breaker) == [60, 60, None]


def test_a_late_snapshot_that_says_less_takes_back_what_the_next_one_was_believed_for() -> None:
    breaker = make_breaker()
    sampled(breaker, T0 + 150 * SECOND, calls=150, window=150)
    rolled()
    assert calls(breaker) == [60, 60, 30]

    sampled(breaker, T0 + 140 * SECOND, calls=20, window=10, received=T0 + 5 * HOUR)
    rolled(since=T0 + 4 * HOUR)

    assert calls(breaker) == [None, None, 30]


def test_summing_up_twice_changes_nothing() -> None:
    breaker = make_breaker()
    sampled(breaker, T0 + 30 * SECOND, calls=30, window=30)

    rolled()
    rolled()

    assert calls(breaker) == [30, None, None]


def test_hours_are_the_sums_of_their_minutes_before_and_after_they_are_rolled() -> None:
    breaker = make_breaker()
    for minute in range(1, 121):
        sampled(breaker, T0 + minute * MINUTE, calls=10, failed=1, p95_ms=minute, window=60)
    rolled()
    hours = read(breaker, Source.HOURS, minutes=120, step=3600)

    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM metric_hour_due")
        assert cursor.fetchone() == (0,)
        cursor.execute("INSERT INTO metric_hour_due SELECT breaker_id, at FROM metric_hour")
    unrolled = read(breaker, Source.HOURS, minutes=120, step=3600)

    assert unrolled == hours
    assert [(hour.calls, hour.failure_rate, hour.covered) for hour in hours] == [
        (600, 10, 3600),
        (600, 10, 3600),
    ]
    assert hours[0].p95_ms == Range(1, 60)


def test_numbers_at_the_edge_of_floats_fail_no_sum() -> None:
    breaker = make_breaker()
    sampled(
        breaker, T0 + 30 * SECOND, calls=2**53 - 1, failure_rate=5e-324, p50_ms=5e-324, window=1e9
    )
    sampled(breaker, T0 + 31 * SECOND, calls=0, failed=2**53 - 1, p99_ms=1e12, window=0.001)

    rolled()

    assert read(breaker, Source.MINUTES)[0].failure_rate is not None


@st.composite
def reports(draw: st.DrawFn) -> list[tuple[int, str, int, int, int]]:
    """When, by whom, how many calls over how many seconds, and in which of three batches it is received."""
    second = st.integers(1, 600)
    return draw(
        st.lists(
            st.tuples(
                second,
                st.sampled_from(["a", "b"]),
                st.integers(0, 100),
                st.sampled_from([5, 10, 60, 200]),
                st.integers(0, 2),
            ),
            max_size=12,
        )
    )


@given(reports=reports())
@hypothesis_settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_whatever_the_order_of_receipt_the_minutes_are_what_all_snapshots_say(
    reports: list[tuple[int, str, int, int, int]],
) -> None:
    breaker = make_breaker(instances=())
    for name in ("a", "b"):
        make_instance(breaker, name)
    for batch in range(3):
        received = T0 + (1 + batch) * HOUR
        for second, instance, count, window, when in reports:
            if when == batch:
                at = T0 + second * SECOND
                sampled(
                    breaker, at, instance=instance, received=received, calls=count, window=window
                )
        rolled(since=received - MINUTE)

    by_receipt = read(breaker, Source.MINUTES, since=T0 - 10 * MINUTE, minutes=21)
    at_once = read(breaker, Source.SNAPSHOTS, since=T0 - 10 * MINUTE, minutes=21)

    assert by_receipt == at_once


def test_what_was_brought_and_not_received_is_summed_up_by_its_span() -> None:
    breaker = make_breaker()
    old = datetime(2024, 2, 28, 23, 59, 30, tzinfo=UTC)
    sampled(breaker, old + 60 * SECOND, calls=60, window=60)

    roll_up_span([breaker.pk], since=old, until=old + 2 * MINUTE, now=NOW)

    since = old.replace(second=0)
    assert [p.calls for p in read(breaker, Source.MINUTES, since=since, minutes=2)] == [30, 30]
    assert [
        p.calls
        for p in read(breaker, Source.HOURS, since=since.replace(minute=0), minutes=120, step=3600)
    ] == [30, 30]

    assert forget_old_sums(now=NOW) >= 3


def test_the_command_says_how_far_it_came() -> None:
    told = StringIO()

    call_command("roll_up", stdout=told)

    assert "is summed up" in told.getvalue()
