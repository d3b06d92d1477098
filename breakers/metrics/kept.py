"""How long what is kept. Snapshots themselves go with their partitions (see `history.upkeep`)."""

from datetime import timedelta

from django.conf import settings

MINUTES_KEPT = timedelta(days=30)
HOURS_KEPT = timedelta(days=400)


def snapshots_kept() -> timedelta:
    return timedelta(days=settings.PANELBOARD_SNAPSHOT_RETENTION_DAYS)
