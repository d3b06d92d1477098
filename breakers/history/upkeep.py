"""Keeping history's tables in shape."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import connection

from breakers.models import OtlpMemory

WEEKS_AHEAD = 3
DAYS_AHEAD = 3


def make_partitions_ahead(now: datetime) -> int:
    """Makes those of the coming weeks (events) and days (snapshots); how many were missing."""
    wanted = [("event", now + timedelta(weeks=n)) for n in range(WEEKS_AHEAD + 1)]
    wanted += [("snapshot", now + timedelta(days=n)) for n in range(DAYS_AHEAD + 1)]
    made = 0
    with connection.cursor() as cursor:
        for parent, at in wanted:
            cursor.execute("SELECT ensure_partition(%s, %s)", [parent, at])
            row = cursor.fetchone()
            made += bool(row and row[0])
    return made


def forget_event_times(*, older_than: datetime) -> int:
    """Drops the times kept for repeats of events that came with an id and no time."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM event_time WHERE occurred_at < %s", [older_than])
        return int(cursor.rowcount)


def forget_exports(*, older_than: datetime) -> int:
    """Drops what was remembered of OTLP sources that are silent since."""
    return OtlpMemory.objects.filter(seen_at__lt=older_than).delete()[0]
