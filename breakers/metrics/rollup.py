"""Summing up snapshots by the minute and by the hour; what is done twice comes out the same.

Progress is by the time of receipt, so that a snapshot that comes late is found like any other. The arithmetic
is the SQL function `measured`; docs/reports.md explains it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection, transaction

from breakers.metrics.kept import HOURS_KEPT, MINUTES_KEPT
from breakers.sql import statements

_SQL = statements("metrics")


_REACH = timedelta(hours=1)
"""How far back a snapshot speaks at most."""
_STEP = timedelta(minutes=5)
"""Of receipt, in one transaction: 3 million snapshots of 100,000 breakers that report every 10 s."""
_HOURS_AT_ONCE = 5_000
_HOUR_SETTLES = timedelta(minutes=65)
"""After its beginning an hour is over, and its last minutes are in."""


class Rolled(NamedTuple):
    """`until`: whatever was received before is in the sums; None where another process is at it."""

    until: datetime | None
    hours: int


def roll_up(*, now: datetime, budget_s: float = 20.0) -> Rolled:
    """Goes on from where the last call ended, for about `budget_s`; the next one does what is left."""
    deadline = time.monotonic() + budget_s
    # Asked outside of any transaction: what is settled now is seen by every statement that follows.
    settled: datetime = _fetch("settled_until")[0][0]
    until = _roll_step(settled)
    while until is not None and until < settled and time.monotonic() < deadline:
        until = _roll_step(settled)
    hours = 0
    while time.monotonic() < deadline:
        some = _roll_hours(before=now - _HOUR_SETTLES, now=now)
        hours += some
        if some < _HOURS_AT_ONCE:
            break
    return Rolled(until, hours)


def _roll_step(settled: datetime) -> datetime | None:
    """One transaction; how far receipt is summed up now, or None where another process is at it."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_SQL["claim"])
        claimed = cursor.fetchone()
        if claimed is None:
            return None
        since: datetime = claimed[0]
        if settled <= since:
            return since
        until = min(settled, since + _STEP)
        _roll_received(since, until)
        if until < settled:
            until = min(_next_received(until) or settled, settled)
        cursor.execute(_SQL["proceed"], {"until": until})
        return until


def _roll_received(since: datetime, until: datetime) -> None:
    [(earliest, latest)] = _fetch("received", since=since, until=until)
    if earliest is not None:
        _ensure(earliest - _REACH, latest)
        _fetch("roll_minutes", rows=False, since=since, until=until)


def _next_received(since: datetime) -> datetime | None:
    following: datetime | None = _fetch("next_received", since=since)[0][0]
    return following


def roll_up_span(
    breakers: Sequence[int], *, since: datetime, until: datetime, now: datetime
) -> None:
    """Sums up afresh what some breakers have in a span, received whenever it was."""
    day = since - _REACH
    while day < until:
        following = _midnight(day) + timedelta(days=1)
        with transaction.atomic():
            _ensure(day, min(following, until) - timedelta(microseconds=1))
            _fetch(
                "roll_span",
                rows=False,
                breakers=list(breakers),
                since=_minute(day),
                until=min(following, _minute(until) + timedelta(minutes=1)),
            )
        day = following
    while _roll_hours(before=now, now=now) == _HOURS_AT_ONCE:
        pass


def _roll_hours(*, before: datetime, now: datetime) -> int:
    with transaction.atomic():
        [(earliest, latest)] = _fetch("hours_due", before=before)
        if earliest is None:
            return 0
        _ensure_months(earliest, latest)
        [(count,)] = _fetch(
            "roll_hours",
            before=before,
            most=_HOURS_AT_ONCE,
            whole_from=now - MINUTES_KEPT + timedelta(days=1),
        )
        return int(count)


def forget_old_sums(*, now: datetime) -> int:
    """Drops the partitions whose time is over; how many."""
    count = 0
    with connection.cursor() as cursor:
        for parent, kept in (("metric_minute", MINUTES_KEPT), ("metric_hour", HOURS_KEPT)):
            cursor.execute("SELECT drop_metric_partitions(%s, %s)", [parent, now - kept])
            row = cursor.fetchone()
            count += row[0] if row else 0
    return count


def _ensure(since: datetime, until: datetime) -> None:
    day = _midnight(since)
    while day <= until:
        _fetch_partition("metric_minute", day)
        day += timedelta(days=1)


def _ensure_months(since: datetime, until: datetime) -> None:
    month = _midnight(since).replace(day=1)
    while month <= until:
        _fetch_partition("metric_hour", month)
        month = (month + timedelta(days=31)).replace(day=1)


def _fetch_partition(parent: str, at: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT ensure_metric_partition(%s, %s)", [parent, at])


def _midnight(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _minute(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(second=0, microsecond=0)


def _fetch(name: str, *, rows: bool = True, **parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(_SQL[name], parameters)
        return list(cursor.fetchall()) if rows else []
