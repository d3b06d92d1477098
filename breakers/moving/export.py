"""History as lines, out of one consistent reading, with memory that does not grow."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec
from django.db import connection, transaction
from psycopg.rows import dict_row

from breakers.models import Environment, Service
from breakers.moving.lines import (
    BreakerLine,
    End,
    EventLine,
    Header,
    InstanceLine,
    Line,
    SnapshotLine,
    utc,
)
from breakers.sql import statements
from breakers.wire import Metrics

_SQL = statements("moving")
_FETCHED_AT_ONCE = 2_000
_metrics = msgspec.json.Decoder(Metrics).decode


class Wanted(NamedTuple):
    """None: all of them. `since` ≤ t < `until`, by `occurred_at`."""

    environment: str | None = None
    service: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    snapshots: bool = True


class _Part(NamedTuple):
    """One table's worth of lines; read by slices as long as its partitions, so that no sort is longer than one."""

    name: str
    kind: type[EventLine] | type[SnapshotLine]
    slice: timedelta


_PARTS = (
    _Part("events", EventLine, timedelta(weeks=1)),
    _Part("snapshots", SnapshotLine, timedelta(days=1)),
)


def unknown_in(wanted: Wanted) -> str | None:
    """What is named and not there, in words: a backup of a mistyped name would be an empty one."""
    services = Service.objects.all()
    if wanted.environment is not None:
        if not Environment.objects.filter(name=wanted.environment).exists():
            return f"There is no environment “{wanted.environment}”."
        services = services.filter(environment__name=wanted.environment)
    if wanted.service is not None and not services.filter(name=wanted.service).exists():
        return f"There is no service “{wanted.service}” here."
    return None


def export(wanted: Wanted) -> Iterator[Line]:
    """All lines in order; the same history gives the same lines, in whichever database it is."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield Header(**wanted._asdict())
        counts = dict.fromkeys(("breakers", "instances", "events", "snapshots"), 0)
        for row in _rows("out_breakers", wanted):
            counts["breakers"] += 1
            yield BreakerLine(**row)
        for row in _rows("out_instances", wanted):
            counts["instances"] += 1
            yield InstanceLine(**_told(row))
        for part in _PARTS:
            if part.name == "snapshots" and not wanted.snapshots:
                continue
            for some in _slices(part, wanted):
                for row in _rows(f"out_{part.name}", some):
                    counts[part.name] += 1
                    yield part.kind(**_told(row))
        yield End(**counts)


def _slices(part: _Part, wanted: Wanted) -> Iterator[Wanted]:
    with connection.cursor() as cursor:
        cursor.execute(_SQL[f"extent_of_{part.name}"])
        extent: tuple[datetime | None, datetime | None] = cursor.fetchone() or (None, None)
    earliest, latest = extent
    if earliest is None or latest is None:
        return
    since = earliest if wanted.since is None else max(earliest, wanted.since)
    until = latest + timedelta(microseconds=1)
    until = until if wanted.until is None else min(until, wanted.until)
    midnight = utc(since).replace(hour=0, minute=0, second=0, microsecond=0)
    end = midnight - timedelta(days=midnight.weekday()) if part.slice.days == 7 else midnight
    while since < until:
        end += part.slice
        yield wanted._replace(since=since, until=min(end, until))
        since = end


def _rows(name: str, wanted: Wanted) -> Iterator[dict[str, Any]]:
    """Through a cursor on the server's side: a slice may be larger than memory."""
    with connection.connection.cursor(name="export", row_factory=dict_row) as cursor:
        cursor.itersize = _FETCHED_AT_ONCE
        cursor.execute(_SQL[name], wanted._asdict())
        yield from cursor


def _told(row: dict[str, Any]) -> dict[str, Any]:
    for name, value in row.items():
        if isinstance(value, datetime):
            row[name] = utc(value)
    # Django leaves jsonb as text.
    if row.get("labels") is not None:
        row["labels"] = msgspec.json.decode(row["labels"])
    if row.get("metrics") is not None:
        row["metrics"] = _metrics(row["metrics"])
    return row
