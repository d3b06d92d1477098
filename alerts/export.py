"""An incident as a file, for a review of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import msgspec

from alerts.markdown import as_text
from alerts.models import IncidentBreaker
from alerts.read import IncidentDetail, incident_to_see
from breakers.access import Actor, breakers_for


class Member(msgspec.Struct, frozen=True):
    """A breaker of an incident; `well_at` is None while it makes it fire."""

    id: str
    environment: str
    service: str
    breaker: str
    target: str | None
    joined_at: datetime
    well_at: datetime | None


class IncidentExport(msgspec.Struct, frozen=True):
    """All that the actor may see of an incident."""

    detail: IncidentDetail
    exported_at: datetime
    members: list[Member]


def incident_to_export(actor: Actor, incident_id: str, *, now: datetime) -> IncidentExport:
    """Raises NotFound."""
    detail = incident_to_see(actor, incident_id)
    rows = (
        IncidentBreaker.objects.filter(
            incident=int(detail.incident.id), breaker__in=breakers_for(actor)
        )
        .select_related("breaker__service__environment")
        .order_by("joined_at", "id")
    )
    members = [
        Member(
            id=str(row.breaker_id),
            environment=row.breaker.service.environment.name,
            service=row.breaker.service.name,
            breaker=row.breaker.name,
            target=row.breaker.target,
            joined_at=row.joined_at,
            well_at=row.well_at,
        )
        for row in rows
    ]
    return IncidentExport(detail, now, members)


def as_markdown(seen: IncidentExport) -> str:
    """What people wrote stays text: nothing in it becomes markup."""
    detail, incident = seen.detail, seen.detail.incident
    facts = [
        ("Status", incident.status),
        ("Severity", incident.severity),
        ("Policy" if incident.is_suggestion else "Rule", incident.rule.name),
        ("Environment", detail.environment),
        ("Target", incident.target or "–"),
        ("Began", _time(incident.started_at)),
        ("Acknowledged", _by(incident.acknowledged_at, incident.acknowledged_by)),
        ("Resolved", _time(incident.resolved_at)),
        ("Link", incident.url),
    ]
    lines = [f"# Incident {incident.id}: {as_text(incident.summary)}", ""]
    lines += _table(("", ""), facts)
    lines += ["", "## Breakers", ""]
    lines += _table(
        ("Breaker", "Environment", "Target", "Joined", "Well since"),
        [
            (
                f"{one.service}/{one.breaker}",
                one.environment,
                one.target or "–",
                _time(one.joined_at),
                _time(one.well_at),
            )
            for one in seen.members
        ],
    )
    lines += ["", "## Timeline", ""]
    for entry in detail.timeline:
        lines += [f"- **{_time(entry.at)}** {entry.kind} by {as_text(entry.by or 'Panelboard')}"]
        lines += [f"  > {as_text(line)}" for line in entry.text.splitlines() if line.strip()]
    lines += ["", "## Who was told", ""]
    lines += _table(
        ("At", "Message", "Channel", "Outcome", "Tries"),
        [
            (
                _time(one.created_at),
                one.type,
                one.channel.name or one.channel.kind,
                f"{one.status}. {one.detail}" if one.detail else one.status,
                str(one.attempts),
            )
            for one in reversed(detail.deliveries)
        ],
    )
    return "\n".join([*lines, "", f"Exported {_time(seen.exported_at)}", ""])


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(as_text(cell) for cell in row)} |" for row in rows]
    if not lines:
        return ["None."]
    return [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *lines]


def _by(at: datetime | None, who: str | None) -> str:
    return "–" if at is None else f"{_time(at)} by {who}"


def _time(at: datetime | None) -> str:
    return "–" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
