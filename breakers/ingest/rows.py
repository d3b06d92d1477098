"""Events as rows of history: their ids resolved, their times settled, and repeats within a group found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from breakers.ingest.jobs import Batch, Outcome, Stored
from breakers.ingest.registry import Registry
from breakers.ingest.statements import Statements
from breakers.wire import Happened, Labels, Metrics

_encode = msgspec.json.Encoder().encode
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
Pair = tuple[int, int]
"""A breaker instance by the ids of its breaker and its instance."""
Key = tuple[int, str, datetime]
"""By which a repeat is known: service, id and time."""


class Row(NamedTuple):
    """An event with the ids of its rows; its time may be that of the first with its id."""

    service_id: int
    pair: Pair
    event: Happened
    occurred_at: datetime

    @property
    def breaker_id(self) -> int:
        return self.pair[0]

    @property
    def instance_id(self) -> int:
        return self.pair[1]

    @property
    def key(self) -> Key:
        return self.service_id, self.event.event_id, self.occurred_at


async def settle(
    db: Statements, registry: Registry, jobs: Sequence[Batch]
) -> list[tuple[Batch, list[Row]]]:
    """The rows of each batch; one with an id and no time gets the time of the first with that id."""
    batches = [
        (job, [Row(*registry.ids_of(event), event, event.occurred_at) for event in job.events])
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

    def timed(row: Row) -> Row:
        if row.event.timed or not row.event.named:
            return row
        return row._replace(occurred_at=first[row.key[:2]])

    return [(job, [timed(row) for row in rows]) for job, rows in batches]


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


def as_json(value: Labels | dict[str, object] | Metrics | None) -> str | None:
    """A value for a jsonb column."""
    return None if value is None else _encode(value).decode()
