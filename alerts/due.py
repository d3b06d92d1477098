"""What comes by time alone: rows with a due time, swept by the tick."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from alerts.incidents import end_incident, follow_up
from alerts.models import Incident, IncidentBreaker, MessageType
from breakers.models import Instance, OutboxRow

_BATCH = 100


def sweep(now: datetime) -> int:
    """Resolves what has been well for long enough and posts owed updates; gives how many."""
    _let_go(now)
    return (
        _each(_clearing(now), _clear, now)
        + _each(_deserted(), _desert, now)
        + _each(_owing(now), _update, now)
    )


def _let_go(now: datetime) -> None:
    """Of an instance that was removed or pruned nobody says that it is well."""
    gone = Exists(Instance.objects.filter(pk=OuterRef("instance_id")))
    IncidentBreaker.objects.filter(
        ~gone, incident__resolved_at=None, well_at=None, instance_id__gt=0
    ).update(well_at=now)


def _deserted() -> QuerySet[Incident]:
    """All that was in them and unwell is gone: removed breakers and instances."""
    unwell = IncidentBreaker.objects.filter(incident=OuterRef("pk"), well_at=None)
    return Incident.objects.filter(~Exists(unwell), resolved_at=None, clear_at=None)


def _clearing(now: datetime) -> QuerySet[Incident]:
    """Not while something that happened to its breakers is still to be judged."""
    unjudged = OutboxRow.objects.filter(
        breaker_id__in=IncidentBreaker.objects.filter(incident=OuterRef(OuterRef("pk"))).values(
            "breaker_id"
        )
    )
    return Incident.objects.filter(
        ~Exists(unjudged), resolved_at=None, clear_at__isnull=False, clear_at__lte=now
    )


def _owing(now: datetime) -> QuerySet[Incident]:
    return Incident.objects.filter(resolved_at=None, update_at__isnull=False, update_at__lte=now)


def _each(
    rows: QuerySet[Incident], act: Callable[[Incident, datetime], None], now: datetime
) -> int:
    """One transaction for some incidents, locked in the order that evaluation keeps."""
    with transaction.atomic():
        found = list(
            rows.order_by("rule_id", "group_key").select_for_update(skip_locked=True, no_key=True)[
                :_BATCH
            ]
        )
        for incident in found:
            act(incident, now)
    return len(found)


def _clear(incident: Incident, now: datetime) -> None:
    end_incident(
        incident, text="All breakers are well.", by_name=None, now=now, since=incident.clear_at
    )


def _desert(incident: Incident, now: datetime) -> None:
    end_incident(incident, text="What was unwell was removed.", by_name=None, now=now)


def _update(incident: Incident, now: datetime) -> None:
    incident.update_at, incident.updated_at = None, now
    incident.save(update_fields=["update_at", "updated_at"])
    follow_up(incident, MessageType.UPDATED, now=now)
