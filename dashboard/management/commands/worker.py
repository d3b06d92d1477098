"""`manage.py worker`: the Celery worker, one process with threads (docs/decisions/0001)."""

from __future__ import annotations

import warnings
from typing import Any

from celery.exceptions import SecurityWarning
from django.core.management.base import BaseCommand

from dashboard.lanes import LANES
from dashboard.postgresql.base import Connection


class Command(BaseCommand):
    help = "Evaluates rules and sends what is to be delivered."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        from dashboard.celery import app

        # Only JSON is accepted, so that whoever can write to Redis cannot run code here as root.
        warnings.filterwarnings("ignore", category=SecurityWarning)
        Connection.lets_go = True
        app.start(
            [
                "--quiet",
                "--skip-checks",
                "worker",
                "--pool=threads",
                f"--concurrency={sum(LANES.values())}",
                f"--queues={','.join(LANES)}",
                "--loglevel=INFO",
                # Workers here need not know each other; this saves two broadcasts a second.
                *("--without-gossip", "--without-mingle", "--without-heartbeat"),
            ]
        )
