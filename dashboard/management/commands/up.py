"""`manage.py up`: the whole system in the foreground."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from dashboard.config import Config
from dashboard.supervisor.output import Output
from dashboard.supervisor.run import Options, run


class Command(BaseCommand):
    help = (
        "Runs the whole system: PostgreSQL and Redis where no URL names them, web, worker and beat."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--host", default="127.0.0.1", help="address to listen on (%(default)s)"
        )
        parser.add_argument(
            "--port",
            type=int,
            default=8000,
            help="port to listen on (%(default)s); 0: any free one",
        )
        parser.add_argument("--workers", type=int, default=1, help="web processes (%(default)s)")
        parser.add_argument(
            "--demo",
            nargs="*",
            metavar="SYSTEM",
            help="also run demo systems: shop, weather, database, social or all (alone: shop)",
        )

    def handle(
        self,
        *args: Any,
        host: str,
        port: int,
        workers: int,
        demo: list[str] | None,
        **options: Any,
    ) -> None:
        systems = () if demo is None else tuple(demo) or ("shop",)
        asked = Options(host=host, port=port, workers=max(1, workers), demo=systems)
        # Read afresh: what a run.json says is about an earlier run.
        sys.exit(asyncio.run(run(asked, Config(), Output())))
