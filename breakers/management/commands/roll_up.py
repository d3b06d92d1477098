"""`manage.py roll_up`"""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from breakers.metrics.rollup import roll_up


class Command(BaseCommand):
    help = "Sums up snapshots by the minute and by the hour, as the worker does each minute, to the end."

    def handle(self, *args: Any, **options: Any) -> None:
        rolled = roll_up(now=timezone.now(), budget_s=float("inf"))
        if rolled.until is None:
            self.stdout.write("Another process is at it.")
        else:
            self.stdout.write(
                f"Everything received before {rolled.until:%Y-%m-%d %H:%M:%S} UTC is summed up."
            )
