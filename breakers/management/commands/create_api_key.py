"""`manage.py create_api_key NAME --scopes ingest,agent [--environment E] [--service S ...]`"""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from breakers.access import actor_of_command
from breakers.errors import Invalid
from breakers.keys import create_api_key
from breakers.models import Scope


class Command(BaseCommand):
    help = "Makes an API key and prints it once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name")
        parser.add_argument(
            "--scopes", required=True, help=f"any of {', '.join(Scope.values)}, with commas between"
        )
        parser.add_argument("--environment")
        parser.add_argument("--service", action="append", help="may be given several times")
        parser.add_argument(
            "--events-per-second",
            type=int,
            help="how fast it may send events to each process (default: as fast as any key)",
        )
        parser.add_argument(
            "--names-max",
            type=int,
            help="how many services, breakers and instances it may make (default: as many as any key)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        scopes = [scope.strip() for scope in options["scopes"].split(",") if scope.strip()]
        try:
            _, text = create_api_key(
                name=options["name"],
                scopes=scopes,
                environment=options["environment"],
                services=options["service"],
                events_per_second=options["events_per_second"],
                names_max=options["names_max"],
                by=actor_of_command("create_api_key"),
            )
        except Invalid as problem:
            raise CommandError(
                "; ".join(f"{error.loc[0]}: {error.msg}" for error in problem.errors)
            ) from problem
        self.stdout.write(text)
