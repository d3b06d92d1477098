"""A breaker's metrics as evenly spaced points."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection
from psycopg.rows import dict_row

from breakers.metrics.span import Source, Span
from breakers.models import Breaker
from breakers.sql import statements

_SQL = statements("metrics")


class Range(NamedTuple):
    """The lowest and the highest that any instance reported: percentiles of several cannot be merged."""

    lowest: float
    highest: float


class Point(NamedTuple):
    """What is known of the time from `at` for one step; None is unknown.

    Counts are sums over the time spoken for (`covered`, in instance-seconds) and need not be whole. Rates are in
    percent, of the calls whose outcome was told.
    """

    at: datetime
    covered: float = 0.0
    calls: float | None = None
    failed: float | None = None
    slow: float | None = None
    not_permitted: float | None = None
    failure_rate: float | None = None
    slow_rate: float | None = None
    p50_ms: Range | None = None
    p95_ms: Range | None = None
    p99_ms: Range | None = None


def points_of(breaker: Breaker, span: Span) -> list[Point]:
    """One for each step of the span, in order; those of which nothing is known are there too."""
    beginnings = span.beginnings
    if not beginnings:
        return []
    step = timedelta(seconds=span.step)
    asked: dict[str, Any] = {
        "breaker": breaker.pk,
        "since": beginnings[0],
        "until": beginnings[-1] + step,
        "step": step,
    }
    with connection.cursor() as cursor:
        cursor.cursor.row_factory = dict_row
        cursor.execute(_SQL[f"points_of_{span.source}"], asked)
        known = {row["at"].astimezone(UTC): _point(row) for row in cursor.fetchall()}
    return [known.get(at) or Point(at) for at in beginnings]


def rolled_until(source: Source) -> datetime | None:
    """What was received since is not in the sums yet; None for points that are made of snapshots themselves."""
    if source is Source.SNAPSHOTS:
        return None
    with connection.cursor() as cursor:
        cursor.execute(_SQL["rolled_until"])
        row = cursor.fetchone()
    return row[0] if row else None


def _point(row: dict[str, Any]) -> Point:
    return Point(
        at=row["at"],
        covered=_rounded(row["covered"]) or 0.0,
        calls=_rounded(row["calls"]),
        failed=_rounded(row["failed"]),
        slow=_rounded(row["slow"]),
        not_permitted=_rounded(row["not_permitted"]),
        failure_rate=_rate(row["failed"], row["failed_of"]),
        slow_rate=_rate(row["slow"], row["slow_of"]),
        p50_ms=_range(row["p50_lowest"], row["p50_highest"]),
        p95_ms=_range(row["p95_lowest"], row["p95_highest"]),
        p99_ms=_range(row["p99_lowest"], row["p99_highest"]),
    )


def _rate(some: float | None, of: float | None) -> float | None:
    # More failures than calls is an agent's mistake, and still not more than all.
    return None if some is None or not of else round(min(100.0, 100 * some / of), 3)


def _range(lowest: float | None, highest: float | None) -> Range | None:
    return None if lowest is None or highest is None else Range(lowest, highest)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
