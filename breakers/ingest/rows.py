"""Events as rows of history: their ids resolved, their times settled, and repeats within a group found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from breakers.ingest.jobs import Batch, Outcome, Stored
from breakers.ingest.pgtext import lines
from breakers.ingest.registry import Registry
from breakers.ingest.row import Key, Row
from breakers.ingest.statements import Statements
from breakers.wire import Happened, Labels, Metrics

_encode = msgspec.json.Encoder().encode
_MANY = 32
"""Events from which on a column at a time is worth its while."""
_OF_SNAPSHOTS = (
    "service_id",
    "event_id",
    "occurred_at",
    "breaker_id",
    "instance_id",
    "natural_state",
    "boot",
    "seq",
    "detail",
    "labels",
    "metrics",
)


Columns = Callable[[Sequence[Row]], dict[str, list[Any]]]


def rows_of_known(registry: Registry, events: Iterable[Happened]) -> list[Row] | None:
    """Their rows, where nothing need be asked for them: neither the id of a name nor a time."""
    rows = []
    for event in events:
        ids = registry.known_ids(event)
        if ids is None or (event.named and not event.timed):
            return None
        rows.append(Row(*ids, event, event.occurred_at))
    return rows


def make_lines(rows: Sequence[Row]) -> None:
    """Has rows ready for COPY before they are wanted, where a column at a time is worth its while."""
    if len(rows) < _MANY:
        return
    events, snapshots = by_table(rows)
    _note_lines(events, columns_of_events)
    _note_lines(snapshots, columns_of_snapshots)


async def settle(
    db: Statements, registry: Registry, jobs: Sequence[Batch]
) -> list[tuple[Batch, list[Row]]]:
    """The rows of each batch; one with an id and no time gets the time of the first with that id."""
    batches = [
        (
            job,
            [Row(*registry.ids_of(event), event, event.occurred_at) for event in job.events],
        )
        for job in jobs
    ]
    untimed = {
        row.key[:2]: row.occurred_at
        for _, rows in reversed(batches)
        for row in reversed(rows)
        if not row.event.timed and row.event.named
    }
    if not untimed:
        return batches
    # Who says when is the first, also where it is stored with its repeats.
    untimed |= {
        row.key[:2]: row.occurred_at
        for _, rows in reversed(batches)
        for row in reversed(rows)
        if row.event.timed and row.event.named and row.key[:2] in untimed
    }
    keys = sorted(untimed)
    first = {
        (service, event): at
        for service, event, at in await db.fetch(
            "first_times",
            services=[service for service, _ in keys],
            ids=[event for _, event in keys],
            times=[untimed[key] for key in keys],
        )
    }
    for _, rows in batches:
        for row in rows:
            if row.event.named and not row.event.timed:
                row.occurred_at = first[row.key[:2]]
    return batches


def by_table(rows: Iterable[Row]) -> tuple[list[Row], list[Row]]:
    """State changes and notes, and snapshots."""
    tables: tuple[list[Row], list[Row]] = [], []
    for row in rows:
        tables[row.event.type == "snapshot"].append(row)
    return tables


def outcomes_of(
    batches: Iterable[tuple[Batch, list[Row]]], new: set[Key]
) -> tuple[list[Row], dict[Batch, list[Outcome]]]:
    """The rows that are new, in order, and for each batch what became of its events.

    Of several with a key in `new`, the first is the event and the others repeat it.
    """
    accepted: list[Row] = []
    outcomes: dict[Batch, list[Outcome]] = {}
    new = set(new)
    for job, rows in batches:
        told = outcomes[job] = []
        for row in rows:
            if row.key in new:
                new.discard(row.key)
                accepted.append(row)
                told.append(Stored.ACCEPTED)
            else:
                told.append(Stored.DUPLICATE)
    return accepted, outcomes


def columns_of_events(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """State changes and notes, in the order of `copy_events`."""
    events = [row.event for row in rows]
    return {
        "service_id": [row.service_id for row in rows],
        "event_id": [event.event_id for event in events],
        "occurred_at": [row.occurred_at for row in rows],
        "breaker_id": [row.pair[0] for row in rows],
        "instance_id": [row.pair[1] for row in rows],
        "type": [event.type for event in events],
        "from_state": [event.from_ for event in events],
        "to_state": [event.to for event in events],
        "natural_state": [event.natural_state for event in events],
        "boot": [event.boot for event in events],
        "seq": [event.seq for event in events],
        "cause": [event.cause for event in events],
        "reason": [event.reason for event in events],
        "detail": [event.detail for event in events],
        "labels": [as_json(event.labels) for event in events],
        "metrics": [as_json(event.metrics) for event in events],
        "library": [event.library for event in events],
        "origin": [event.origin for event in events],
    }


def columns_of_snapshots(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """Snapshots, in the order of `copy_snapshots`."""
    columns = columns_of_events(rows)
    return {name: columns[name] for name in _OF_SNAPSHOTS}


def events_as_lines(rows: Sequence[Row]) -> bytes:
    """State changes and notes as COPY reads them."""
    return _as_lines(rows, columns_of_events)


def snapshots_as_lines(rows: Sequence[Row]) -> bytes:
    """Snapshots as COPY reads them."""
    return _as_lines(rows, columns_of_snapshots)


def _as_lines(rows: Sequence[Row], columns_of: Columns) -> bytes:
    left = [row for row in rows if row.line is None]
    if len(left) == len(rows):
        return "".join(lines(columns_of(rows).values())).encode()
    _note_lines(left, columns_of)
    return b"".join(row.line for row in rows if row.line is not None)


def _note_lines(rows: Sequence[Row], columns_of: Columns) -> None:
    if rows:
        for row, line in zip(rows, lines(columns_of(rows).values()), strict=True):
            row.line = line.encode()


def as_json(value: Labels | dict[str, object] | Metrics | None) -> str | None:
    """A value for a jsonb column."""
    return None if value is None else _encode(value).decode()
