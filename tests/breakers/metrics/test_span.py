from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from breakers.errors import Invalid
from breakers.metrics.span import POINTS_MOST, Source, span_of

NOW = datetime(2026, 3, 4, 12, 0, 30, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.mark.parametrize(
    ("back", "length", "step", "chosen", "source"),
    [
        (HOUR, HOUR, None, 15, Source.SNAPSHOTS),
        (HOUR, HOUR, 60, 60, Source.SNAPSHOTS),
        (10 * HOUR, 10 * HOUR, 45, 45, Source.SNAPSHOTS),  # seconds are in snapshots alone
        (DAY, DAY, None, 600, Source.MINUTES),
        (DAY, DAY, 3600, 3600, Source.HOURS),
        (20 * DAY, HOUR, None, 60, Source.MINUTES),  # snapshots are gone by then
        (100 * DAY, HOUR, None, 3600, Source.HOURS),
        (400 * DAY, 400 * DAY, None, 172800, Source.HOURS),
    ],
)
def test_what_is_left_open_is_chosen(
    back: timedelta, length: timedelta, step: int | None, chosen: int, source: Source
) -> None:
    span = span_of(since=NOW - back, until=NOW - back + length, step=step, now=NOW)

    assert (span.step, span.source) == (chosen, source)


@pytest.mark.parametrize(
    ("back", "step", "said"),
    [
        (HOUR, 1, "must be at least 4 s here"),
        (DAY, 60, "must be at least 120 s here, and a multiple of 60"),
        (DAY, 130, "must be at least 120 s here, and a multiple of 60"),
        (20 * DAY, 30, "must be at least 1740 s here, and a multiple of 60"),
        (100 * DAY, 60, "must be at least 10800 s here, and a multiple of 3600"),
    ],
)
def test_a_step_that_is_too_small_is_refused_with_the_least(
    back: timedelta, step: int, said: str
) -> None:
    with pytest.raises(Invalid) as refused:
        span_of(since=NOW - back, until=NOW, step=step, now=NOW)

    assert [(error.loc, error.msg) for error in refused.value.errors] == [(("step",), said)]
    least = int(said.split()[4])
    assert len(span_of(since=NOW - back, until=NOW, step=least, now=NOW).beginnings) <= POINTS_MOST


def test_points_are_aligned_and_lie_in_the_span() -> None:
    span = span_of(since=NOW - 5 * 60 * timedelta(seconds=1), until=NOW, step=60, now=NOW)

    assert [at.strftime("%H:%M:%S") for at in span.beginnings] == [
        "11:56:00",
        "11:57:00",
        "11:58:00",
        "11:59:00",
        "12:00:00",
    ]


@pytest.mark.parametrize(
    ("since", "until", "wrong"),
    [
        (NOW, NOW, "until"),
        (NOW - 401 * DAY, NOW, "since"),
        (None, datetime(1, 1, 1, tzinfo=UTC), "until"),
        (None, datetime(9999, 12, 31, tzinfo=UTC), "until"),
    ],
)
def test_a_span_that_makes_no_sense_is_refused(
    since: datetime | None, until: datetime, wrong: str
) -> None:
    with pytest.raises(Invalid) as refused:
        span_of(since=since, until=until, step=None, now=NOW)

    assert refused.value.errors[0].loc == (wrong,)
