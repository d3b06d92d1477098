"""How many incidents are firing, for the badge on the rail."""

from __future__ import annotations

from alerts.models import Status
from alerts.read import incidents_for, with_status
from breakers.access import Actor


def firing_count(actor: Actor) -> int:
    """Neither acknowledged nor resolved, within the actor's limits."""
    return with_status(incidents_for(actor), [Status.FIRING]).count()
