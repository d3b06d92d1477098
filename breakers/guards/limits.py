"""The limits of environments: read, and set by admins."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from breakers.access import Actor, environments_for, require
from breakers.audit import record
from breakers.errors import Forbidden, NotFound
from breakers.guards.judge import MAX_FORCED, Limits
from breakers.models import Environment, Scope


def limits_of(environment: Environment) -> Limits:
    return Limits(
        max_forced_percent=environment.max_forced_percent,
        confirm=environment.confirm,
        four_eyes_above=environment.four_eyes_above,
    )


def environment_of(actor: Actor, scope: Scope, name: str) -> Environment:
    """Raises Forbidden before any look-up, then NotFound."""
    require(actor, scope)
    environment = environments_for(actor).filter(name=name).first()
    if environment is None:
        raise NotFound("No such environment.")
    return environment


def limit_environment(environment_id: int, limits: Limits, *, by: Actor) -> Environment:
    """These limits hold from now on, and no others; approvals that wait are outdated if they differ."""
    if by.services is not None:
        raise Forbidden("Limits hold for all services of an environment, and this key for some.")
    with transaction.atomic():
        environment = Environment.objects.select_for_update(no_key=True).get(pk=environment_id)
        before = told(limits_of(environment))
        environment.max_forced_percent = limits.max_forced_percent
        environment.confirm = limits.confirm
        environment.four_eyes_above = limits.four_eyes_above
        environment.save(update_fields=["max_forced_percent", "confirm", "four_eyes_above"])
        record(
            by,
            "limit_environment",
            kind="environment",
            id=environment.pk,
            subject=environment.name,
            before=before,
            after=told(limits),
            environment=environment.name,
        )
    return environment


def told(limits: Limits) -> dict[str, Any]:
    """Limits as JSON, for the API and the audit log."""
    percent, above = limits.max_forced_percent, limits.four_eyes_above
    return {
        "guard": None if percent is None else {MAX_FORCED: percent},
        "confirm": limits.confirm,
        "four_eyes": None if above is None else {"above": above},
    }
