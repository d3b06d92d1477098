"""A breaker's calls of the last hour as columns, one a minute. Pure but for reading them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from breakers.metrics.read import Point, points_of
from breakers.metrics.span import span_of
from breakers.models import Breaker
from dashboard.pages import words

MINUTES = 60
HEIGHT = 100.0
"""Of the drawing; it is stretched to its place."""


@dataclass(frozen=True, slots=True)
class Column:
    """A minute: where it stands and how high, from the top as SVG counts; None where nothing is known."""

    at: datetime
    x: int
    top: float
    height: float
    failed_top: float
    failed_height: float
    calls: str
    failed: str
    rate: str
    refused: str


@dataclass(frozen=True, slots=True)
class Chart:
    """`columns` are those of which something is known; `said` is what the drawing shows, in words; `worst` the one in
    which most of the calls failed, if any did."""

    columns: list[Column]
    most: str
    said: str
    worst: Column | None


def calls_of(breaker: Breaker, *, now: datetime) -> Chart | None:
    """None where nothing was counted."""
    span = span_of(since=now - timedelta(minutes=MINUTES), until=now, step=60, now=now)
    return chart_of(points_of(breaker, span))


def chart_of(points: Sequence[Point]) -> Chart | None:
    known = [
        (n, point)
        for n, point in enumerate(points)
        if point.calls is not None or point.not_permitted
    ]
    if not known:
        return None
    most = max(max(point.calls or 0.0 for _, point in known), 1.0)
    columns = [_column(n, point, most) for n, point in known]
    rates = [point.failure_rate or 0.0 for _, point in known]
    worst = max(range(len(known)), key=rates.__getitem__)
    return Chart(
        columns=columns,
        most=_count(most),
        said=_said([point for _, point in known]),
        worst=columns[worst] if rates[worst] else None,
    )


def _column(n: int, point: Point, most: float) -> Column:
    calls = point.calls or 0.0
    failed = min(point.failed or 0.0, calls)
    height, failed_height = HEIGHT * calls / most, HEIGHT * failed / most
    return Column(
        at=point.at,
        x=n,
        top=round(HEIGHT - height, 2),
        height=round(height, 2),
        failed_top=round(HEIGHT - failed_height, 2),
        failed_height=round(failed_height, 2),
        calls=_count(point.calls),
        failed=_count(point.failed),
        rate="–" if point.failure_rate is None else words.percent(point.failure_rate),
        refused=_count(point.not_permitted),
    )


def _said(points: Sequence[Point]) -> str:
    calls = sum(point.calls or 0.0 for point in points)
    failed = sum(point.failed or 0.0 for point in points)
    refused = sum(point.not_permitted or 0.0 for point in points)
    said = f"{_count(calls)} calls in the last hour, {_count(failed)} failed"
    if refused:
        said += f", {_count(refused)} more refused"
    return f"{said}."


def _count(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"
