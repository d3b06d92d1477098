"""Housekeeping by Celery; each step may be repeated, and none is missed for long if it is not run."""

from __future__ import annotations

from datetime import timedelta

import structlog
from celery import shared_task
from django.utils import timezone

from breakers.agents.retire import prune_retired
from breakers.history.upkeep import forget_event_times, forget_exports, make_partitions_ahead
from breakers.metrics.rollup import forget_old_sums, roll_up

_log = structlog.get_logger(__name__)


@shared_task
def maintain() -> None:
    """Once an hour: partitions ahead of time, so that the writer need not wait for one; what is old forgotten."""
    now = timezone.now()
    made = make_partitions_ahead(now)
    forgotten = forget_event_times(older_than=now - timedelta(days=8))
    pruned = prune_retired()
    forget_exports(older_than=now - timedelta(days=8))
    dropped = forget_old_sums(now=now)
    _log.info(
        "history maintained",
        partitions_made=made,
        times_forgotten=forgotten,
        instances_pruned=pruned,
        sums_dropped=dropped,
    )


@shared_task
def sum_up_metrics() -> None:
    """Once a minute: snapshots into minutes and hours, some 20 s at a time until all are in."""
    rolled = roll_up(now=timezone.now())
    _log.debug("metrics summed up", until=str(rolled.until), hours=rolled.hours)
