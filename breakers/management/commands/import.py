"""`manage.py import FILE` (`-`: stdin)"""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser
from typing import Any, BinaryIO

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from breakers.history.upkeep import history_is_kept
from breakers.moving.bring import Brought, NotAnExport, bring, settle

_TOLD_EVERY_S = 5.0


class Command(BaseCommand):
    help = "Brings history from an export; what is there already stays as it is, and no alert is fired."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", help="as `export` writes it; - for stdin")

    def handle(self, *args: Any, file: str, **options: Any) -> None:
        with history_is_kept():
            brought = self._read(file)
        self.stdout.write(f"{brought.new:,} new, {brought.known:,} there already.")
        if brought.wrong_count:
            raise CommandError(f"{_lines(brought.wrong_count)} left out.")
        if not brought.whole:
            raise CommandError("The file's end is missing or counts other lines: it was cut short.")

    def _read(self, file: str) -> Brought:
        if file == "-":
            return self._bring(sys.stdin.buffer)
        try:
            with open(file, "rb") as opened:
                return self._bring(opened)
        except OSError as problem:
            raise CommandError(f"{file}: {problem.strerror}") from problem

    def _bring(self, file: BinaryIO) -> Brought:
        now = timezone.now()
        brought, told, shown = Brought(), time.monotonic(), 0
        try:
            for brought in bring(file, now=now):
                for number, error in brought.wrong[shown:]:
                    self.stderr.write(f"line {number}: {error.loc[0]}: {error.msg}")
                shown = len(brought.wrong)
                if time.monotonic() - told >= _TOLD_EVERY_S:
                    told = time.monotonic()
                    self.stderr.write(f"{brought.lines:,} lines, {brought.new:,} new")
        except NotAnExport as problem:
            raise CommandError(f"This is no export that can be read here: {problem}.") from problem
        self.stderr.write("Deriving current state from history")
        settle(brought, now=now)
        return brought


def _lines(count: int) -> str:
    return "1 line was" if count == 1 else f"{count:,} lines were"
