"""Housekeeping by Celery, once an hour; each step may be repeated, and none is missed for long if it is not run."""

from __future__ import annotations

from datetime import timedelta

import structlog
from celery import shared_task
from django.utils import timezone

from breakers.history.upkeep import forget_event_times, forget_exports, make_partitions_ahead

_log = structlog.get_logger(__name__)


@shared_task
def maintain() -> None:
    """Partitions ahead of time, so that the writer need not wait for one; old repeats' times forgotten."""
    now = timezone.now()
    made = make_partitions_ahead(now)
    forgotten = forget_event_times(older_than=now - timedelta(days=8))
    forget_exports(older_than=now - timedelta(days=8))
    _log.info("history maintained", partitions_made=made, times_forgotten=forgotten)
