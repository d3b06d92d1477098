"""The audit log: written in the transaction of what it tells of, so that neither is without the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from breakers.access import Actor
from breakers.models import AuditEntry, Breaker


def record(
    actor: Actor,
    action: str,
    *,
    kind: str,
    id: object,
    subject: str,
    reason: str = "",
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    environment: str | None = None,
    service: str | None = None,
) -> None:
    """One entry; `before` and `after` are JSON and never hold a secret."""
    AuditEntry.objects.create(
        actor_kind=actor.kind,
        actor_id=actor.id,
        actor_name=actor.name,
        action=action,
        environment=environment,
        service=service,
        subject_kind=kind,
        subject_id=str(id),
        subject=subject[:500],
        reason=reason,
        before=before,
        after=after,
        address=actor.address,
        request_id=actor.request_id,
    )


def record_on_breaker(
    actor: Actor,
    action: str,
    breaker: Breaker,
    *,
    reason: str,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """An entry about a breaker; its service and environment must be loaded."""
    record_on_breakers(actor, action, [OnBreaker(breaker, reason, before, after)])


@dataclass(frozen=True, slots=True)
class OnBreaker:
    """What an entry tells of one breaker, whose service and environment must be loaded."""

    breaker: Breaker
    reason: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None


def record_on_breakers(actor: Actor, action: str, told: Sequence[OnBreaker]) -> None:
    """An entry for each breaker; what was done to many by one call has one `request_id`."""
    AuditEntry.objects.bulk_create(
        AuditEntry(
            actor_kind=actor.kind,
            actor_id=actor.id,
            actor_name=actor.name,
            action=action,
            environment=one.breaker.service.environment.name,
            service=one.breaker.service.name,
            subject_kind="breaker",
            subject_id=str(one.breaker.pk),
            subject=_subject(one.breaker)[:500],
            reason=one.reason,
            before=one.before,
            after=one.after,
            address=actor.address,
            request_id=actor.request_id,
        )
        for one in told
    )


def _subject(breaker: Breaker) -> str:
    service = breaker.service
    return f"{service.environment.name} / {service.name} / {breaker.name}"


def audit_seen(actor: Actor) -> QuerySet[AuditEntry]:
    """The entries within the actor's limits; what names no environment is for the unlimited."""
    rows = AuditEntry.objects.all()
    if actor.environments is not None:
        rows = rows.filter(environment__in=actor.environments)
    if actor.services is not None:
        rows = rows.filter(service__in=actor.services)
    return rows
