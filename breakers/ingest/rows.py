"""Events as rows of history: their ids resolved, their times settled, inserted, and repeats found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec

from breakers.ingest.jobs import Batch, Outcome, Stored
from breakers.ingest.registry import Registry
from breakers.ingest.statements import Statements
from breakers.wire import Happened, Metrics

_encode = msgspec.json.Encoder().encode
Pair = tuple[int, int]
"""A breaker instance by the ids of its breaker and its instance."""
Key = tuple[int, str, datetime]
"""By which a repeat is known: service, id and time."""


@dataclass(frozen=True, slots=True)
class Row:
    """An event with the ids of its rows; `event_id` and `occurred_at` may be the first one's."""

    service_id: int
    breaker_id: int
    instance_id: int
    event: Happened
    occurred_at: datetime

    @property
    def pair(self) -> Pair:
        return self.breaker_id, self.instance_id

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
        if row.event.named and not row.event.timed
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
    return [
        (
            job,
            [
                replace(row, occurred_at=first[row.key[:2]])
                if row.event.named and not row.event.timed
                else row
                for row in rows
            ],
        )
        for job, rows in batches
    ]


async def insert_batches(
    db: Statements, batches: Sequence[tuple[Batch, list[Row]]]
) -> tuple[list[Row], dict[Batch, list[Outcome]]]:
    """The rows that were new, in order, and for each batch what became of its events."""
    rows = [row for _, found in batches for row in found]
    new: set[Key] = set()
    for snapshots in (False, True):
        some = [row for row in rows if (row.event.type == "snapshot") is snapshots]
        if some:
            new |= await insert(db, some, snapshots=snapshots)
    accepted = []
    outcomes: dict[Batch, list[Outcome]] = {}
    for job, found in batches:
        told = outcomes[job] = []
        for row in found:
            if row.key in new:
                new.discard(row.key)
                accepted.append(row)
                told.append(Stored.ACCEPTED)
            else:
                told.append(Stored.DUPLICATE)
    return accepted, outcomes


async def insert(db: Statements, rows: Sequence[Row], *, snapshots: bool = False) -> set[Key]:
    """Adds rows to history; the keys of those that were not there yet."""
    events = [row.event for row in rows]
    columns: dict[str, list[Any]] = {
        "service_id": [row.service_id for row in rows],
        "event_id": [event.event_id for event in events],
        "occurred_at": [row.occurred_at for row in rows],
        "breaker_id": [row.breaker_id for row in rows],
        "instance_id": [row.instance_id for row in rows],
        "natural_state": [event.natural_state for event in events],
        "boot": [event.boot for event in events],
        "seq": [event.seq for event in events],
        "detail": [event.detail for event in events],
        "labels": [as_json(event.labels) for event in events],
        "metrics": [as_json(event.metrics) for event in events],
    }
    if not snapshots:
        columns |= {
            "type": [event.type for event in events],
            "from_state": [event.from_ for event in events],
            "to_state": [event.to for event in events],
            "cause": [event.cause for event in events],
            "reason": [event.reason for event in events],
            "library": [event.library for event in events],
            "origin": [event.origin for event in events],
        }
    found = await db.fetch("insert_snapshots" if snapshots else "insert_events", **columns)
    return {(service, event, at) for service, event, at in found}


def as_json(value: dict[str, Any] | Metrics | None) -> str | None:
    """A value for a jsonb column."""
    return None if value is None else _encode(value).decode()
