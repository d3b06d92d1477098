"""Telling live sockets of incidents, once they are committed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from django.db import transaction

from alerts.models import Incident
from alerts.read import incidents_as_seen
from breakers.live.publish import announce_incident


def announce(incidents: Iterable[Incident]) -> None:
    """After commit, each as it is then; losing it is no loss, for pages read the database."""
    ids = [incident.pk for incident in incidents]
    if ids:
        transaction.on_commit(lambda: _send(ids), robust=True)


def _send(ids: list[int]) -> None:
    for seen in incidents_as_seen(ids):
        payload: dict[str, Any] = msgspec.to_builtins(seen.incident)
        announce_incident(payload, seen.environment, seen.condition, seen.breakers)
