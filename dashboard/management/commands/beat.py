"""`manage.py beat`: sends the ticks of `dashboard.celery`. One is enough; two do no harm."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand


class Command(BaseCommand):
    help = "Sends the ticks that wake the workers."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        from dashboard.celery import app

        app.start(["--quiet", "--skip-checks", "beat", "--loglevel=INFO"])
