"""Retiring instances that stayed away without a goodbye: they leave the board, and their history stays. Once
that is gone too, they are pruned."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from breakers.access import Actor
from breakers.audit import record
from breakers.errors import Conflict
from breakers.live.publish import announce_changed
from breakers.models import Instance
from breakers.sql import statements
from breakers.wake import wake_evaluation

_SQL = statements("retire")
_LEAST_SILENCE = timedelta(hours=24)


def retire_away() -> int:
    """Retires whoever has been lost for 24 hours, or silent for 7 days where known by HTTP alone; how many."""
    with transaction.atomic():
        away = [id for (id,) in _fetch("away")]
        return len(_retire(away, heard_before=timezone.now() - _LEAST_SILENCE))


def retire_instance(instance: Instance, *, reason: str, by: Actor) -> None:
    """By hand and at once; its service and environment must be loaded. Raises Conflict where it is connected,
    for its next word would bring it back."""
    service = instance.service
    with transaction.atomic():
        if not _retire([instance.pk], heard_before=timezone.now()):
            raise Conflict("It is connected, or retired already.")
        record(
            by,
            "retire_instance",
            kind="instance",
            id=instance.pk,
            subject=f"{service.environment.name} / {service.name} / {instance.name}",
            reason=reason,
            environment=service.environment.name,
            service=service.name,
        )


def prune_retired() -> int:
    """Deletes retired instances that history has nothing of any more; how many."""
    pruned = 0
    while True:
        with transaction.atomic():
            found = [id for (id,) in _fetch("prunable")]
            if not found:
                return pruned
            _fetch("lock_breakers", instances=found)
            rows = _fetch("prune", instances=found)
            gone = [id for id, _ in rows]
            with connection.cursor() as cursor:
                cursor.execute(_SQL["delete_instances"], {"instances": gone})
                if rows and rows[0][1]:
                    # Writers remember states by the breaker's change number.
                    cursor.execute(_SQL["touch_breakers"], {"breakers": rows[0][1]})
            pruned += len(gone)
        if not gone:
            return pruned  # all came back, a moment ago


def _retire(instances: Sequence[int], *, heard_before: datetime) -> list[int]:
    """Those that were in fact retired."""
    if not instances:
        return []
    _fetch("lock_breakers", instances=instances)
    gone = [id for (id,) in _fetch("retire", instances=instances, heard_before=heard_before)]
    breakers = sorted({id for (id,) in _fetch("look_again", instances=gone)})
    if breakers:
        with connection.cursor() as cursor:
            cursor.execute(_SQL["touch_breakers"], {"breakers": breakers})
        transaction.on_commit(lambda: announce_changed(breakers))
        transaction.on_commit(wake_evaluation)
    return gone


def _fetch(name: str, **parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(_SQL[name], parameters)
        return list(cursor.fetchall())
