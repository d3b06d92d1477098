"""Telling live sockets of an incident, once it is committed."""

from __future__ import annotations

from typing import Any

import msgspec
from django.db import transaction

from alerts.models import Incident
from alerts.read import incidents_as_seen
from breakers.live.publish import announce_incident


def announce(incident: Incident) -> None:
    """After commit, the incident as it is then; losing it is no loss, for pages read the database."""
    incident_id = incident.pk
    transaction.on_commit(lambda: _send(incident_id), robust=True)


def _send(incident_id: int) -> None:
    for seen in incidents_as_seen([incident_id]):
        payload: dict[str, Any] = msgspec.to_builtins(seen.incident)
        announce_incident(payload, seen.environment, seen.services)
