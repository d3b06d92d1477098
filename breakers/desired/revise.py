"""The one way in which desired state moves: locked, numbered, and told after the commit; many at once or one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from django.db import connection, transaction

from breakers.errors import NotFound, RevisionConflict
from breakers.live.publish import announce_changed, announce_desired
from breakers.models import Breaker, Override, PlannedOverride
from breakers.outbox import look_at
from breakers.sql import statements

_SQL = statements("desired")


@dataclass(frozen=True, slots=True)
class Held:
    """A breaker under its lock, with the override that stands and the one that is planned; its service is
    locked too."""

    breaker: Breaker
    number: int
    standing: Override | None
    planned: PlannedOverride | None


def hold(breaker_id: int, *, expected: Collection[int] | None = None) -> Held:
    """Locks service and breaker; to be called in a transaction.

    Raises NotFound where the breaker is gone, RevisionConflict where its revision is none of the expected.
    """
    found = hold_all([breaker_id])
    if not found:
        raise NotFound("No such breaker.")
    (held,) = found
    if expected is not None and held.breaker.revision not in expected:
        raise RevisionConflict(f"The revision is {held.breaker.revision} now.")
    return held


def hold_all(breaker_ids: Collection[int]) -> list[Held]:
    """Locks services, then breakers, each in id order, so that no two callers wait for each other; to be called
    in a transaction. By id; breakers that are gone are left out."""
    ids = sorted(breaker_ids)
    with connection.cursor() as cursor:
        cursor.execute(_SQL["lock_services"], {"breakers": ids})
        services = [id for (id,) in cursor.fetchall()]
        cursor.execute(_SQL["raise_services"], {"services": services})
        numbers: dict[int, int] = dict(cursor.fetchall())
    breakers = list(
        Breaker.objects.select_for_update(of=("self",))
        .select_related("service__environment")
        .filter(pk__in=ids)
        .order_by("pk")
    )
    standing = {
        one.breaker_id: one for one in Override.objects.filter(breaker__in=ids, ended_at=None)
    }
    planned = {
        one.breaker_id: one
        for one in PlannedOverride.objects.filter(breaker__in=ids, ended_at=None)
    }
    return [
        Held(one, numbers[one.service_id], standing.get(one.pk), planned.get(one.pk))
        for one in breakers
    ]


def revise(held: Held) -> int:
    """Raises the revision, and tells everyone once that is committed. The new revision."""
    return revise_all([held])[held.breaker.pk]


def revise_all(held: Sequence[Held]) -> dict[int, int]:
    """The same for many; the new revision of each, by the breaker's id."""
    breakers = [one.breaker.pk for one in held]
    numbers = [one.number for one in held]
    with connection.cursor() as cursor:
        cursor.execute(_SQL["raise_breakers"], {"breakers": breakers, "numbers": numbers})
        revisions: dict[int, int] = dict(cursor.fetchall())
    look_at(breakers)
    services = sorted({one.breaker.service_id for one in held})
    transaction.on_commit(lambda: announce_desired(services))
    transaction.on_commit(lambda: announce_changed(breakers))
    return revisions
