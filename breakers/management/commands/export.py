"""`manage.py export [--environment E] [--service S] [--since T] [--until T] [--no-snapshots] [--output FILE]`"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, ArgumentTypeError
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from django.core.management.base import BaseCommand, CommandError

from breakers.moving.export import Wanted, export, unknown_in
from breakers.moving.lines import encode


def _time(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as problem:
        raise ArgumentTypeError(f"{text!r} is no time, as in 2026-03-04T12:00:00Z") from problem
    if at.tzinfo is None:
        raise ArgumentTypeError(f"{text!r} names no zone, as in 2026-03-04T12:00:00Z")
    return at


class Command(BaseCommand):
    help = "Writes history as NDJSON: breakers, instances, events and snapshots, by names."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--environment")
        parser.add_argument("--service")
        parser.add_argument("--since", type=_time, help="by occurred_at, this instant included")
        parser.add_argument("--until", type=_time, help="by occurred_at, this instant excluded")
        parser.add_argument("--no-snapshots", action="store_false", dest="snapshots")
        parser.add_argument(
            "--output", type=Path, help="a file, whole or not there (default: stdout)"
        )

    def handle(self, *args: Any, output: Path | None = None, **options: Any) -> None:
        wanted = Wanted(**{name: options[name] for name in Wanted._fields})
        unknown = unknown_in(wanted)
        if unknown:
            raise CommandError(unknown)
        if output is None:
            _write(sys.stdout.buffer, wanted)
            return
        draft = output.with_name(f"{output.name}.part")
        try:
            with draft.open("wb") as file:
                count = _write(file, wanted)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(output)
        except OSError as problem:
            raise CommandError(f"{output}: {problem.strerror}") from problem
        self.stderr.write(f"{count:,} lines in {output}.")


def _write(file: BinaryIO, wanted: Wanted) -> int:
    count = 0
    for line in export(wanted):
        file.write(encode(line) + b"\n")
        count += 1
    return count
