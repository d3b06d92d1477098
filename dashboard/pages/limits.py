"""What a limited actor sees of rules and channels: what was made within its own limits."""

from __future__ import annotations

from typing import TypeVar

from django.db.models import Model, QuerySet

from breakers.access import Actor

Row = TypeVar("Row", bound=Model)


def within_limits(actor: Actor, rows: QuerySet[Row]) -> QuerySet[Row]:
    """Rows whose own limits lie within the actor's; an actor without limits sees all."""
    if actor.environments is not None:
        rows = rows.filter(environments__contained_by=sorted(actor.environments))
    if actor.services is not None:
        rows = rows.filter(services__contained_by=sorted(actor.services))
    return rows
