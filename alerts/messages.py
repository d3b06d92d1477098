"""What a message says: a snapshot of its incident when it was posted, for any channel to render. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from django.conf import settings

from alerts.models import Incident, MessageType

POLICY = "policy-"


class RuleRef(msgspec.Struct, frozen=True):
    id: str
    name: str


class IncidentPart(msgspec.Struct, frozen=True):
    """The incident within a message, as the contract's webhooks show it."""

    id: str
    rule: RuleRef
    severity: str
    status: str
    target: str | None
    started_at: datetime
    resolved_at: datetime | None
    summary: str
    url: str


class Message(msgspec.Struct, frozen=True):
    """Kept with a delivery. About a channel rather than an incident: `incident` is None."""

    type: str
    timestamp: datetime
    incident: IncidentPart | None = None
    breakers_total: int = 0
    runbook_url: str | None = None
    acknowledged_by: str | None = None
    channel_id: str = ""
    channel_name: str = ""
    channel_kind: str = ""
    text: str = ""


def incident_url(incident_id: int) -> str:
    return f"{settings.PUBLIC_URL}/incidents/{incident_id}/"


def breaker_url(breaker_id: str) -> str:
    return f"{settings.PUBLIC_URL}/breakers/{breaker_id}/"


def rule_ref(incident: Incident) -> RuleRef:
    """Whose it is. A policy's suggestion has no rule; its id says so, and is none of a rule."""
    by = incident.rule_id if incident.policy_id is None else f"{POLICY}{incident.policy_id}"
    return RuleRef(str(by), incident.rule_name)


def message_about(
    incident: Incident, kind: MessageType, *, at: datetime, runbook_url: str | None
) -> Message:
    """The incident as it is in memory; it needs an id."""
    return Message(
        type=kind.value,
        timestamp=at,
        incident=IncidentPart(
            id=str(incident.pk),
            rule=rule_ref(incident),
            severity=incident.severity,
            status=incident.status.value,
            target=incident.target,
            started_at=incident.started_at,
            resolved_at=incident.resolved_at,
            summary=incident.summary,
            url=incident_url(incident.pk),
        ),
        breakers_total=incident.breakers_total,
        runbook_url=runbook_url,
        acknowledged_by=incident.acknowledged_by,
    )


def to_json(message: Message) -> Any:
    """For a JSON column."""
    return msgspec.to_builtins(message)


def from_json(said: Any) -> Message:
    return msgspec.convert(said, Message)
