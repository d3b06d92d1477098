"""How many incidents are firing, for the badge on the rail."""

from __future__ import annotations

from alerts.models import Incident
from breakers.access import Actor


def firing_count(actor: Actor) -> int:
    """Unacknowledged and unresolved, within the actor's limits."""
    rows = Incident.objects.filter(resolved_at__isnull=True, acknowledged_at__isnull=True)
    if actor.environments is not None:
        rows = rows.filter(environment__in=actor.environments)
    return rows.count()
