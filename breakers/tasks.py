"""Housekeeping by Celery; each step may be repeated, and none is missed for long if it is not run."""

from __future__ import annotations

from datetime import timedelta

import structlog
from celery import shared_task
from django.db import OperationalError
from django.utils import timezone

from breakers.agents.retire import prune_retired
from breakers.history.upkeep import (
    drop_old_history,
    forget_absences,
    forget_answers,
    forget_event_times,
    forget_exports,
    make_partitions_ahead,
)
from breakers.metrics.rollup import forget_old_sums, roll_up
from breakers.removing import erase_removed, forget_kept

_log = structlog.get_logger(__name__)


@shared_task
def maintain() -> None:
    """Once an hour: partitions ahead of time, so that the writer need not wait for one; what is old forgotten."""
    now = timezone.now()
    made = make_partitions_ahead(now)
    try:
        for partition in drop_old_history(now):
            _log.info("history dropped", partition=partition)
    except OperationalError as busy:  # the rest must not wait for it; there is another hour
        _log.warning("history not dropped", error=str(busy).strip())
    forgotten = forget_event_times(older_than=now - timedelta(days=8))
    pruned = prune_retired()
    forget_absences()
    forget_kept()
    erase_removed()
    forget_exports(older_than=now - timedelta(days=8))
    forget_answers(now)
    dropped = forget_old_sums(now=now)
    _log.info(
        "history maintained",
        partitions_made=made,
        times_forgotten=forgotten,
        instances_pruned=pruned,
        sums_dropped=dropped,
    )


@shared_task
def erase() -> None:
    """What was removed with its history: begun again where it was broken off, an hour later by `maintain`."""
    erase_removed()


@shared_task
def sum_up_metrics() -> None:
    """Once a minute: snapshots into minutes and hours, some 20 s at a time until all are in."""
    rolled = roll_up(now=timezone.now())
    _log.debug("metrics summed up", until=str(rolled.until), hours=rolled.hours)
