"""Lines into history, and current state brought up to it; the same lines twice change nothing.

Nothing is put into the outbox: what is past fires no alert.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, BinaryIO, NamedTuple

from django.db import connection, transaction

from breakers.clock import database_now
from breakers.errors import FieldError
from breakers.history.rebuild import rebuild
from breakers.ingest.rows import as_json
from breakers.metrics.rollup import roll_up_span
from breakers.moving.lines import (
    LINE_MAX,
    BreakerLine,
    End,
    EventLine,
    Header,
    InstanceLine,
    SnapshotLine,
    read_line,
)
from breakers.moving.names import Names
from breakers.sql import statements

_SQL = statements("moving")
_COMMIT = statements("commit")
_AT_ONCE = 2_000
_Stored = BreakerLine | InstanceLine | EventLine | SnapshotLine
_ROLLED_AT_ONCE = 500


class Wrong(NamedTuple):
    """A line that was left out, by its number from 1, and why."""

    number: int
    error: FieldError


@dataclass
class Brought:
    """What came of the lines so far."""

    lines: int = 0
    new: int = 0
    known: int = 0
    wrong: list[Wrong] = field(default_factory=list)
    """The first of them; `wrong_count` are all."""
    wrong_count: int = 0
    whole: bool = False
    """Whether the file's end was there, and counted what was read."""
    services: set[int] = field(default_factory=set)
    sampled: set[int] = field(default_factory=set)
    """Breakers with snapshots, and the time of these."""
    sampled_since: datetime | None = None
    sampled_until: datetime | None = None


WRONG_KEPT = 20


class NotAnExport(Exception):
    """The first line is no header that is understood here."""


def bring(file: BinaryIO, *, now: datetime) -> Iterator[Brought]:
    """Reads to the end; after each few thousand lines, what came of it so far. Call `settle` with the last.

    Each few thousand lines are one transaction, so that what was broken off is done again from the start, and
    quickly, for what is there already changes nothing. Raises NotAnExport.
    """
    brought = Brought()
    names = Names()
    waiting: list[_Stored] = []
    seen = dict.fromkeys(("breakers", "instances", "events", "snapshots"), 0)
    ended = False
    for number, raw in _numbered(file):
        line = (
            FieldError(("line",), f"is longer than {LINE_MAX} bytes")
            if raw is None
            else read_line(raw, now=now)
        )
        if ended:
            line = FieldError(("line",), "comes after the end")
        if not brought.lines and not isinstance(line, Header):
            said = line.msg if isinstance(line, FieldError) else "is no header"
            raise NotAnExport(f"line {number} {said}")
        brought.lines = number
        match line:
            case FieldError():
                brought.wrong_count += 1
                if len(brought.wrong) < WRONG_KEPT:
                    brought.wrong.append(Wrong(number, line))
            case End():
                ended = True
                brought.whole = seen == {name: getattr(line, name) for name in seen}
            case Header():
                pass
            case BreakerLine() | InstanceLine() | EventLine() | SnapshotLine():
                seen[_COUNTED[type(line)]] += 1
                waiting.append(line)
        if len(waiting) >= _AT_ONCE:
            _store(waiting, names, brought)
            waiting.clear()
            yield brought
    if not brought.lines:
        raise NotAnExport("the file is empty")
    _store(waiting, names, brought)
    yield brought


_COUNTED: dict[type, str] = {
    BreakerLine: "breakers",
    InstanceLine: "instances",
    EventLine: "events",
    SnapshotLine: "snapshots",
}


def settle(brought: Brought, *, now: datetime) -> None:
    """Current state and sums of what the lines speak of, derived from all of history."""
    for service in sorted(brought.services):
        _settle_service(service)
    if brought.sampled_since is None or brought.sampled_until is None:
        return
    sampled = sorted(brought.sampled)
    for first in range(0, len(sampled), _ROLLED_AT_ONCE):
        roll_up_span(
            sampled[first : first + _ROLLED_AT_ONCE],
            since=brought.sampled_since,
            until=brought.sampled_until + timedelta(minutes=1),
            now=now,
        )


@transaction.atomic
def _settle_service(service: int) -> None:
    """At once: what is derived is shown, and what is gone of it never."""
    began = database_now()
    for _ in rebuild(write=True, services=[service]):
        pass
    _run("retire_after_last_word", {"service": service})
    _run("await_hello", {"service": service})
    _leave_unnamed(service, since=began)


def _leave_unnamed(service: int, *, since: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_SQL["unnamed"], {"service": service, "since": since})
        pairs = cursor.fetchall()
        if not pairs:
            return
        breakers = sorted({breaker for breaker, _ in pairs})
        # First of all, as the writer does, which remembers what they are.
        cursor.execute(
            _COMMIT["touch_breakers"], {"breakers": breakers, "targets": [None] * len(breakers)}
        )
        left = {"breakers": [one for one, _ in pairs], "instances": [one for _, one in pairs]}
        cursor.execute(_SQL["leave_unnamed"], left | {"since": since})


def _numbered(file: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """The lines and their numbers from 1, without blank ones; None for one that is too long."""
    number = 0
    while raw := file.readline(LINE_MAX + 1):
        number += 1
        if len(raw) > LINE_MAX:
            while raw and not raw.endswith(b"\n"):
                raw = file.readline(LINE_MAX + 1)
            yield number, None
        elif raw.strip():
            yield number, raw


def _store(lines: Sequence[_Stored], names: Names, brought: Brought) -> None:
    breakers = [line for line in lines if isinstance(line, BreakerLine)]
    instances = [line for line in lines if isinstance(line, InstanceLine)]
    events = [line for line in lines if isinstance(line, EventLine)]
    snapshots = [line for line in lines if isinstance(line, SnapshotLine)]
    recorded: list[EventLine | SnapshotLine] = [*events, *snapshots]
    names.learn(services={(line.environment, line.service) for line in lines})
    if instances:
        _run("in_instances", _columns_of_instances(instances, names))
    named: list[BreakerLine | EventLine | SnapshotLine] = [*breakers, *recorded]
    names.learn(
        instances={(line.environment, line.service, line.instance) for line in recorded},
        breakers={(line.environment, line.service, line.breaker) for line in named},
    )
    _ensure(events, "event", timedelta(weeks=1))
    _ensure(snapshots, "snapshot", timedelta(days=1))
    with transaction.atomic():
        if breakers:
            ids = [names.breaker(line) for line in breakers]
            _run("in_breakers", {"breakers": ids, "targets": [line.target for line in breakers]})
        new = _run("in_events", _columns_of_events(events, names)) if events else 0
        new += _run("in_snapshots", _columns(snapshots, names)) if snapshots else 0
    brought.new += new
    brought.known += len(recorded) - new
    brought.services |= {names.service(line) for line in recorded}
    brought.sampled |= {names.breaker(line) for line in snapshots}
    times = [line.occurred_at for line in snapshots]
    if times:
        brought.sampled_since = min(filter(None, [brought.sampled_since, *times]))
        brought.sampled_until = max(filter(None, [brought.sampled_until, *times]))


def _ensure(lines: Iterable[EventLine | SnapshotLine], parent: str, unit: timedelta) -> None:
    # Partitions begin at midnight and on Mondays, UTC; the day is as good as its partition's beginning.
    days = {line.occurred_at.date() for line in lines}
    with connection.cursor() as cursor:
        for day in sorted({day - timedelta(days=day.weekday() % unit.days) for day in days}):
            cursor.execute(
                "SELECT ensure_partition(%s, %s::date::timestamp AT TIME ZONE 'UTC')", [parent, day]
            )


def _columns_of_instances(lines: Sequence[InstanceLine], names: Names) -> dict[str, list[Any]]:
    return {
        "services": [names.service(line) for line in lines],
        "names": [line.instance for line in lines],
        "agents": [line.agent for line in lines],
        "seen": [line.last_seen for line in lines],
        "retired": [line.retired_at for line in lines],
    }


def _columns(lines: Sequence[EventLine | SnapshotLine], names: Names) -> dict[str, list[Any]]:
    return {
        "service_id": [names.service(line) for line in lines],
        "event_id": [line.id for line in lines],
        "occurred_at": [line.occurred_at for line in lines],
        "received_at": [line.received_at for line in lines],
        "breaker_id": [names.breaker(line) for line in lines],
        "instance_id": [names.instance(line) for line in lines],
        "natural_state": [line.natural_state for line in lines],
        "boot": [line.boot for line in lines],
        "seq": [line.seq for line in lines],
        "detail": [line.detail for line in lines],
        "labels": [as_json(line.labels) for line in lines],
        "metrics": [as_json(line.metrics) for line in lines],
    }


def _columns_of_events(lines: Sequence[EventLine], names: Names) -> dict[str, list[Any]]:
    return _columns(lines, names) | {
        "type": [line.type for line in lines],
        "from_state": [line.from_ for line in lines],
        "to_state": [line.to for line in lines],
        "cause": [line.cause for line in lines],
        "reason": [line.reason for line in lines],
        "library": [line.library for line in lines],
        "origin": [line.origin for line in lines],
    }


def _run(name: str, parameters: Mapping[str, Any]) -> int:
    """How many rows it made or changed."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL[name], parameters)
        return int(cursor.rowcount)
