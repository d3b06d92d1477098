"""`manage.py maintain_history`"""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError
from django.utils import timezone

from breakers.history.upkeep import drop_old_history, make_partitions_ahead


class Command(BaseCommand):
    help = (
        "Makes the partitions of the coming weeks, and drops history that is older than "
        "PANELBOARD_RETENTION_DAYS and PANELBOARD_SNAPSHOT_RETENTION_DAYS say, as the worker does each hour."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        made = make_partitions_ahead(now)
        self.stdout.write(f"{made or 'No'} partition{'' if made == 1 else 's'} made ahead.")
        dropped = 0
        try:
            for partition in drop_old_history(now):
                dropped += 1
                self.stdout.write(f"Dropped {partition}.")
        except OperationalError as busy:
            raise CommandError(
                f"The next partition is in use, and stays for now: {str(busy).strip()}"
            ) from busy
        if not dropped:
            self.stdout.write("Nothing is old enough to be dropped.")
