"""Current state derived afresh from history (I2), service by service, on a live system.

While a service is looked at, its breakers are locked: its events wait for some milliseconds, and what is
compared stands still.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from psycopg.rows import namedtuple_row

from breakers.sql import statements
from breakers.states import Change, Held, Origin, State, derive

_SQL = statements("rebuild")
_COMMIT = statements("commit")
_Known = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """A breaker instance, or a boot, that is not what history says."""

    subject: str
    found: str
    derived: str


def rebuild(*, write: bool, services: Sequence[int] | None = None) -> Iterator[Difference]:
    """All differences (of some services); with `write`, each is mended in the transaction that finds it."""
    if services is None:
        services = [service for (service,) in _fetch(_SQL["services"])]
    for service in services:
        with transaction.atomic():
            differences = list(_rebuild_service(service, write=write))
        yield from differences


def _rebuild_service(service: int, *, write: bool) -> Iterator[Difference]:
    breakers = [id for (id,) in _fetch(_SQL["lock"], service=service)]
    boots: dict[tuple[int, str], datetime | None] = {}
    for instance, boot, first_at in _fetch(_SQL["boots_amiss"], service=service):
        boots[instance, boot] = first_at
        yield Difference(f"boot {boot} of instance {instance}", "another beginning", str(first_at))
        if write and first_at is None:
            _run(_SQL["drop_boot"], instance=instance, boot=boot)
        elif write:
            _run(_SQL["set_boot"], instance=instance, boot=boot, first_at=first_at)
    changed = set()
    for breaker, instance in _fetch(_SQL["pairs"], service=service):
        derived = derive(_history(breaker, instance, boots))
        found = _fetch(_SQL["held"], breaker=breaker, instance=instance)
        known, wanted = (found[0] if found else None), _columns(derived)
        if known == wanted or (known is None and derived is None):
            continue
        yield Difference(
            f"breaker {breaker} in instance {instance}",
            str(known[0] if known else "nothing"),
            derived.state if derived else "unknown",
        )
        changed.add(breaker)
        if write:
            _store(breaker, instance, derived)
    if write and changed:
        ids = sorted(changed & set(breakers))
        _run(_COMMIT["touch_breakers"], breakers=ids, targets=[None] * len(ids))


def _history(
    breaker: int, instance: int, boots: dict[tuple[int, str], datetime | None]
) -> list[Change]:
    """Highest rank first. Boots that were amiss and are not mended (`--check`) are ranked as they should be."""
    with connection.cursor() as cursor:
        cursor.cursor.row_factory = namedtuple_row
        cursor.execute(_COMMIT["history_of"], {"breaker": breaker, "instance": instance})
        changes = [
            Change(
                to=State(row.to_state),
                natural_state=State(row.natural_state) if row.natural_state else None,
                cause=row.cause,
                reason=row.reason,
                detail=row.detail,
                boot=row.boot,
                boot_at=boots.get((instance, row.boot), row.boot_at) if row.boot else None,
                seq=row.seq,
                occurred_at=row.occurred_at,
                origin=Origin(row.origin),
                event_id=row.event_id,
            )
            for row in cursor.fetchall()
        ]
    return sorted(changes, key=lambda change: change.rank, reverse=True)


_NAMES = (
    "state",
    "natural_state",
    "since",
    "not_closed_since",
    "cause",
    "reason",
    "detail",
    "boot",
    "seq",
    "at",
    "origin",
    "event_id",
)


def _columns(held: Held | None) -> _Known:
    """What the row of a breaker instance should hold, in the order of `_NAMES`."""
    if held is None:
        return (State.UNKNOWN, *[None] * (len(_NAMES) - 1))
    last = held.last
    return (
        last.to,
        last.natural_state,
        held.since,
        held.not_closed_since,
        last.cause,
        last.reason,
        last.detail,
        last.boot,
        last.seq,
        last.occurred_at,
        last.origin,
        last.event_id,
    )


def _store(breaker: int, instance: int, held: Held | None) -> None:
    if held is None:
        _run(_SQL["set_unknown"], breaker=breaker, instance=instance)
        return
    values = dict(zip(_NAMES, _columns(held), strict=True))
    # What events say beside the state is not history's: null keeps it.
    beside = dict.fromkeys(("metrics", "metrics_at", "library", "labels"))
    lists = {name: [value] for name, value in (values | beside).items()}
    _run(_COMMIT["store_states"], breaker_id=[breaker], instance_id=[instance], **lists)


def _run(statement: str, **parameters: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)


def _fetch(statement: str, **parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return [tuple(row) for row in cursor.fetchall()]
