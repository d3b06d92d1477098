"""How long what is kept. Snapshots themselves go with their partitions (see `history.upkeep`)."""

from datetime import timedelta

SNAPSHOTS_KEPT = timedelta(days=14)
MINUTES_KEPT = timedelta(days=30)
HOURS_KEPT = timedelta(days=400)
