"""`manage.py rebuild_state [--check]`"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from breakers.history.rebuild import rebuild

_SHOWN = 20


class Command(BaseCommand):
    help = "Derives current state from history; with --check only compares, and exits 1 on a difference."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--check", action="store_true", help="change nothing")

    def handle(self, *args: Any, check: bool, **options: Any) -> None:
        count = 0
        for count, difference in enumerate(rebuild(write=not check), start=1):
            if count <= _SHOWN:
                self.stdout.write(
                    f"{difference.subject}: {difference.found}, by history {difference.derived}"
                )
        if not count:
            self.stdout.write("Current state is what history says.")
            return
        self.stdout.write(f"{count} differences{'' if check else ', mended'}.")
        if check:
            sys.exit(1)
