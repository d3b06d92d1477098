"""Rows on their way into history."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from operator import attrgetter
from typing import TypeVar

from breakers.ingest.row import Key, Row
from breakers.ingest.rows import (
    by_table,
    columns_of_events,
    columns_of_snapshots,
    events_as_lines,
    snapshots_as_lines,
)
from breakers.ingest.statements import Statements

Made = TypeVar("Made")
_FEW = 12
"""Rows that are inserted rather than copied, for the sake of two round trips."""


async def insert(
    db: Statements,
    rows: Sequence[Row],
    *,
    meanwhile: Callable[[Callable[[], object]], Made],
    ahead: bool = False,
) -> Made:
    """Adds rows to history: one that is there already fails the transaction (UniqueViolation).

    `meanwhile` is called once, while PostgreSQL is at work where they are many, and with what it is to call now and
    then; what it makes is given back. Many go `ahead` of all that was asked, but for BEGIN.
    """
    events, snapshots = by_table(rows)
    if len(rows) <= _FEW:
        if events:
            db.ask("insert_events", **columns_of_events(events))
        if snapshots:
            db.ask("insert_snapshots", **columns_of_snapshots(snapshots))
        return meanwhile(_nothing)
    # Neighbours in an index that come one after the other find its pages at hand: a fifth of the cost of a row.
    events.sort(key=attrgetter("pair"))
    made: list[Made] = []
    for name, as_lines, some in (
        ("copy_events", events_as_lines, events),
        ("copy_snapshots", snapshots_as_lines, snapshots),
    ):
        if some:
            async with db.copying(name, partial(as_lines, some), ahead=ahead) as go_on:
                if not made:
                    made.append(meanwhile(go_on))
    return made[0]


async def insert_new(db: Statements, rows: Sequence[Row]) -> set[Key]:
    """Adds what is not in history yet; its keys. Of several rows with one key only the first counts: a
    snapshot and a state change go to two tables, which would take both."""
    new: set[Key] = set()
    events, snapshots = by_table({row.key: row for row in reversed(rows)}.values())
    for table, as_lines, some in (
        ("event", events_as_lines, events),
        ("snapshot", snapshots_as_lines, snapshots),
    ):
        if some:
            await db.execute(f"make_incoming_{table}")
            async with db.copying(f"copy_incoming_{table}", partial(as_lines, some)):
                pass
            new.update(await db.fetch(f"insert_incoming_{table}"))
    return new


def _nothing() -> None:
    pass
