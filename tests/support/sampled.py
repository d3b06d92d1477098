"""Snapshots put straight into history, with a time of receipt of the test's choice."""

from __future__ import annotations

import itertools
from datetime import datetime

from django.db import connection

from breakers.models import Breaker, Instance, Snapshot

_numbers = itertools.count(1)


def sampled(
    breaker: Breaker,
    at: datetime,
    *,
    instance: str = "default",
    received: datetime | None = None,
    **metrics: float,
) -> None:
    """What an instance says of itself at an instant."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT ensure_partition('snapshot', %s)", [at])
    Snapshot.objects.create(
        service_id=breaker.service_id,
        event_id=f"sample-{next(_numbers)}",
        occurred_at=at,
        received_at=received or at,
        breaker_id=breaker.pk,
        instance_id=Instance.objects.get(service=breaker.service_id, name=instance).pk,
        metrics=metrics,
    )
