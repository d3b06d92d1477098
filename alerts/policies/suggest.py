"""What a policy that only suggests says: an incident of its own, for one breaker."""

from __future__ import annotations

from datetime import datetime

from alerts.announce import announce
from alerts.incidents import end_incident
from alerts.models import EntryKind, Incident, IncidentBreaker, IncidentEntry, Severity
from alerts.policies.book import LoadedPolicy
from alerts.verdicts import BreakerView


def suggest(policy: LoadedPolicy, seen: BreakerView, why: str, *, now: datetime) -> None:
    """Begins the incident, unless one stands. Nobody is told but those who look: a policy has no channels."""
    key = _key(seen.id)
    if Incident.objects.filter(policy=policy.id, group_key=key, resolved_at=None).exists():
        return
    incident = Incident.objects.create(
        policy_id=policy.id,
        rule_name=policy.name,
        severity=Severity.WARNING,
        environment=seen.environment,
        target=seen.target,
        group_key=key,
        condition=why[:500],
        services=[seen.service],
        breakers_total=1,
        summary=f"{seen.service}/{seen.breaker}: {why} in {seen.environment}"[:2000],
        started_at=now,
    )
    IncidentBreaker.objects.create(incident=incident, breaker_id=seen.id, joined_at=now)
    IncidentEntry.objects.create(incident=incident, at=now, kind=EntryKind.FIRED, text=why)
    announce([incident])


def end_suggestion(policy_id: int, breaker_id: int, *, text: str, now: datetime) -> None:
    """Resolves the incident, if one stands."""
    rows = Incident.objects.filter(
        policy=policy_id, group_key=_key(breaker_id), resolved_at=None
    ).select_for_update(no_key=True)
    for incident in rows:
        end_incident(incident, text=text, by_name=None, now=now)


def _key(breaker_id: int) -> str:
    return f"breaker:{breaker_id}"
