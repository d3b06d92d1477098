"""Keeping history's tables in shape: partitions ahead of time, and what is too old forgotten."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import datetime, timedelta

from django.conf import settings
from django.db import OperationalError, connection, transaction

from breakers.models import KeptAnswer, OtlpMemory
from breakers.models.idempotency import KEPT_FOR
from breakers.sql import statements

_SQL = statements("history")

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


def drop_old_history(now: datetime) -> Iterator[str]:
    """Drops the partitions whose time is over, oldest first, and each in a transaction of its own with the
    checkpoints that it leaves; their names.

    Raises OperationalError where one is in use: history is kept until the next call.
    """
    for parent, kept_days in (
        ("event", settings.PANELBOARD_RETENTION_DAYS),
        ("snapshot", settings.PANELBOARD_SNAPSHOT_RETENTION_DAYS),
    ):
        while name := _drop_oldest(parent, now - timedelta(days=kept_days)):
            yield name


def _drop_oldest(parent: str, before: datetime) -> str | None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT drop_oldest_partition(%s, %s)", [parent, before])
        row = cursor.fetchone()
        return row[0] if row else None


@contextlib.contextmanager
def history_is_kept() -> Iterator[None]:
    """While this lasts nothing is dropped, here or in any process: for whoever brings history whose boots and
    order are known only at the end. Waits for a drop that is under way."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_lock_shared(hashtext('panelboard.drop_oldest_partition'))"
        )
        try:
            yield
        finally:
            # A connection that was lost has let go of it.
            with contextlib.suppress(OperationalError):
                cursor.execute(
                    "SELECT pg_advisory_unlock_shared(hashtext('panelboard.drop_oldest_partition'))"
                )


def forget_absences() -> int:
    """Drops what is known of who was away at a time that history does not reach back to."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["forget_absences"])
        return int(cursor.rowcount)


def forget_event_times(*, older_than: datetime) -> int:
    """Drops the times kept for repeats of events that came with an id and no time."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM event_time WHERE occurred_at < %s", [older_than])
        return int(cursor.rowcount)


def forget_exports(*, older_than: datetime) -> int:
    """Drops what was remembered of OTLP sources that are silent since."""
    return OtlpMemory.objects.filter(seen_at__lt=older_than).delete()[0]


def forget_answers(now: datetime) -> int:
    """Drops the answers under an Idempotency-Key that are no longer given."""
    return KeptAnswer.objects.filter(created_at__lt=now - KEPT_FOR).delete()[0]
