"""The one way in which desired state moves: locked, numbered, audited, and told after the commit."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from django.db import connection, transaction

from breakers.errors import NotFound, RevisionConflict
from breakers.live.publish import announce_changed, announce_desired
from breakers.models import Breaker, Override
from breakers.sql import statements

_SQL = statements("desired")


@dataclass(frozen=True, slots=True)
class Held:
    """A breaker under its lock, with the override that stands; its service is locked too."""

    breaker: Breaker
    number: int
    standing: Override | None


def hold(breaker_id: int, *, expected: Collection[int] | None = None) -> Held:
    """Locks service and breaker, in that order; to be called in a transaction.

    Raises NotFound where the breaker is gone, RevisionConflict where its revision is none of the expected.
    """
    service = Breaker.objects.filter(pk=breaker_id).values_list("service_id", flat=True).first()
    if service is None:
        raise NotFound("No such breaker.")
    with connection.cursor() as cursor:
        cursor.execute(_SQL["raise_service"], {"service": service})
        (number,) = cursor.fetchone() or (0,)
    breaker = (
        Breaker.objects.select_for_update(of=("self",))
        .select_related("service__environment")
        .filter(pk=breaker_id)
        .first()
    )
    if breaker is None:
        raise NotFound("No such breaker.")
    if expected is not None and breaker.revision not in expected:
        raise RevisionConflict(f"The revision is {breaker.revision} now.")
    standing = Override.objects.filter(breaker=breaker, ended_at=None).first()
    return Held(breaker, number, standing)


def revise(held: Held) -> int:
    """Raises the revision, and tells everyone once that is committed. The new revision."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["raise_breaker"], {"breaker": held.breaker.pk, "number": held.number})
        (revision,) = cursor.fetchone() or (0,)
    service, breaker = held.breaker.service_id, held.breaker.pk
    transaction.on_commit(lambda: announce_desired([service]))
    transaction.on_commit(lambda: announce_changed([breaker]))
    return int(revision)
