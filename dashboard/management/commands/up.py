"""`manage.py up`, as Django lists it; called from a shell it is `dashboard.supervisor.cli.main`."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from dashboard.supervisor import cli


class Command(BaseCommand):
    help = cli.HELP
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        cli.add_arguments(parser)

    def handle(
        self,
        *args: Any,
        host: str,
        port: int,
        workers: int,
        demo: list[str] | None,
        **options: Any,
    ) -> None:
        sys.exit(cli.start(host=host, port=port, workers=workers, demo=demo))
