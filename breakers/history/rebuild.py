"""Current state derived afresh from history and its checkpoints (I2), service by service, on a live system.

What agrees is only read: a statement sees one moment, in which events and states belong together. A service in
which something differs is looked at again under the writer's locks, and mended there; its events wait meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction
from psycopg.rows import namedtuple_row

from breakers.sql import statements

_SQL = statements("rebuild")
_COMMIT = statements("commit")


@dataclass(frozen=True, slots=True)
class Difference:
    """A breaker instance, or a boot, that is not what history says."""

    subject: str
    found: str
    derived: str


def rebuild(*, write: bool, services: Sequence[int] | None = None) -> Iterator[Difference]:
    """All differences (of some services); with `write`, each is mended in the transaction that finds it."""
    if services is None:
        services = [row.id for row in _fetch("services")]
    for service in services:
        if _fetch("boots_amiss", service=service) or _fetch("differences", service=service):
            with transaction.atomic():
                differences = list(_mend_service(service))
                # To be compared as they should be, boots are mended first; without `write`, all is undone.
                transaction.set_rollback(not write)
            yield from differences


def _mend_service(service: int) -> Iterator[Difference]:
    _fetch("lock", service=service)
    reranked = set()
    for instance, boot, first_at in _fetch("boots_amiss", service=service):
        yield Difference(f"boot {boot} of instance {instance}", "another beginning", str(first_at))
        reranked.add(instance)
        if first_at is None:
            _run(_SQL["drop_boot"], instance=instance, boot=boot)
        else:
            _run(_SQL["set_boot"], instance=instance, boot=boot, first_at=first_at)
    # Whoever remembers these breakers remembers with them when the boots of their instances began.
    changed = {row.breaker_id for row in _fetch("breakers_of", instances=sorted(reranked))}
    for row in _fetch("differences", service=service):
        yield Difference(
            f"breaker {row.breaker_id} in instance {row.instance_id}",
            row.held_state or "nothing",
            f"{row.state or 'unknown'}{', in no order of time' if row.unordered else ''}",
        )
        changed.add(row.breaker_id)
        if row.unordered:
            _run(_SQL["note_disorder"], breaker=row.breaker_id, instance=row.instance_id)
        _store(row)
    if changed:
        ids = sorted(changed)
        _run(_COMMIT["touch_breakers"], breakers=ids, targets=[None] * len(ids))


_DERIVED = (
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
# What events say beside the state is not history's: null keeps it.
_BESIDE = dict.fromkeys(("metrics", "metrics_at", "library", "labels", "probe_due_at"))


def _store(row: Any) -> None:
    if row.state is None:
        _run(_SQL["set_unknown"], breaker=row.breaker_id, instance=row.instance_id)
        return
    columns = {name: getattr(row, name) for name in _DERIVED} | _BESIDE
    lists = {name: [value] for name, value in columns.items()}
    _run(
        _COMMIT["store_states"],
        breaker_id=[row.breaker_id],
        instance_id=[row.instance_id],
        **lists,
    )


def _run(statement: str, **parameters: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)


def _fetch(name: str, **parameters: Any) -> list[Any]:
    """Rows whose columns are read by name."""
    with connection.cursor() as cursor:
        cursor.cursor.row_factory = namedtuple_row
        cursor.execute(_SQL[name], parameters)
        return list(cursor.fetchall())
