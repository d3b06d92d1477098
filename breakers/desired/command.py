"""Commands: one-shots that each instance runs at most once, and none that first hears of it too late."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

from django.db import transaction

from breakers.access import Actor
from breakers.audit import record_on_breaker
from breakers.desired.revise import hold, revise
from breakers.errors import FieldError, Invalid
from breakers.models import Breaker, BreakerInstance, Command

HEARD_WITHIN = timedelta(seconds=60)


def command_breaker(
    breaker: Breaker,
    *,
    command: Literal["trip", "reset"],
    reason: str,
    by: Actor,
    now: datetime,
    instances: Sequence[str] | None = None,
    approved_by: str | None = None,
) -> Command:
    """Gives the command to the named instances, or to all known now. Raises Invalid for unknown names."""
    with transaction.atomic():
        held = hold(breaker.pk)
        known = set(
            BreakerInstance.objects.there()
            .filter(breaker=held.breaker)
            .values_list("instance__name", flat=True)
        )
        unknown = sorted(set(instances or ()) - known)
        if unknown:
            raise Invalid([FieldError(("instances",), f"unknown: {', '.join(unknown)}")])
        given = Command.objects.create(
            breaker=held.breaker,
            revision=revise(held),
            command=command,
            reason=reason,
            instances=sorted(instances if instances is not None else known),
            created_at=now,
            expires_at=now + HEARD_WITHIN,
            by_kind=by.kind,
            by_id=by.id,
            by_name=by.name,
            approved_by=approved_by,
        )
        record_on_breaker(
            by,
            command,
            held.breaker,
            reason=reason,
            after={
                "id": str(given.pk),
                "revision": given.revision,
                "instances": given.instances,
            }
            | ({"approved_by": approved_by} if approved_by else {}),
        )
    return given
