"""What pages and the API see of incidents: typed reads within an actor's limits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

import msgspec
from django.db.models import Case, Q, QuerySet, Value, When

from alerts.access import channels_for
from alerts.messages import POLICY, RuleRef, incident_url, rule_ref
from alerts.models import (
    Delivery,
    Incident,
    IncidentBreaker,
    IncidentEntry,
    Status,
)
from breakers.access import Actor, breakers_for, require, row_id
from breakers.errors import Forbidden, NotFound
from breakers.live.incidents import summary_within
from breakers.models import Breaker, Scope

_NOT_WELL = Q(well_at=None) | Q(incident__clear_at__isnull=False)
"""Members that are not well, or not yet for as long as their rule asks."""


class IncidentOut(msgspec.Struct, frozen=True):
    """An incident, as the contract words it."""

    id: str
    rule: RuleRef
    severity: str
    status: str
    target: str | None
    breakers: list[str]
    muted: bool
    summary: str
    started_at: datetime
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    resolved_at: datetime | None
    url: str

    @property
    def is_suggestion(self) -> bool:
        """Whether a policy raised it, and a word would have it done."""
        return self.rule.id.startswith(POLICY)


class Unwell(msgspec.Struct, frozen=True):
    """A breaker and the incident in which it is not well."""

    breaker: str
    incident: str
    rule: RuleRef


class Entry(msgspec.Struct, frozen=True):
    """A line of the timeline; `by` is None where Panelboard itself wrote it."""

    id: str
    at: datetime
    kind: str
    by: str | None
    text: str


class ChannelRef(msgspec.Struct, frozen=True):
    """Where a message goes; outside the actor's limits only the kind is known."""

    id: str | None
    name: str | None
    kind: str


class AttemptOut(msgspec.Struct, frozen=True):
    number: int
    at: datetime
    ok: bool
    status: int | None
    detail: str
    took_ms: int


class DeliveryOut(msgspec.Struct, frozen=True):
    """One message to one place. `next_attempt_at` is None once it is finished."""

    id: str
    message_id: str
    incident: str | None
    channel: ChannelRef
    type: str
    status: str
    attempts: int
    created_at: datetime
    next_attempt_at: datetime | None
    finished_at: datetime | None
    superseded_by: str | None
    detail: str
    log: list[AttemptOut]


class IncidentDetail(msgspec.Struct, frozen=True):
    incident: IncidentOut
    environment: str
    snoozed_until: datetime | None
    """Null where nothing is told at once again, or it is resolved."""
    timeline: list[Entry]
    notes: list[Entry]
    deliveries: list[DeliveryOut]


class Seen(msgspec.Struct, frozen=True):
    """An incident and whose it is: (service, breaker) of each of its breakers."""

    incident: IncidentOut
    environment: str
    condition: str
    breakers: dict[str, tuple[str, str]]


def incidents_for(actor: Actor) -> QuerySet[Incident]:
    """Those with a breaker within the actor's limits."""
    rows = Incident.objects.all()
    if actor.environments is not None:
        rows = rows.filter(environment__in=actor.environments)
    return rows if actor.services is None else rows.filter(services__overlap=list(actor.services))


def with_status(rows: QuerySet[Incident], statuses: Collection[str]) -> QuerySet[Incident]:
    """Narrowed to any of these statuses; none named: all."""
    if not statuses:
        return rows
    said = Q()
    if Status.RESOLVED in statuses:
        said |= Q(resolved_at__isnull=False)
    if Status.FIRING in statuses:
        said |= Q(resolved_at=None, acknowledged_at=None)
    if Status.ACKNOWLEDGED in statuses:
        said |= Q(resolved_at=None, acknowledged_at__isnull=False)
    return rows.filter(said)


def incident_row(actor: Actor, incident_id: str) -> Incident:
    require(actor, Scope.READ)
    return _row(actor, incident_id)


def incident_to_operate(actor: Actor, incident_id: str) -> Incident:
    """One that lies wholly within the actor's limits, for what is done to it is done to all of it."""
    require(actor, Scope.OPERATE)
    incident = _row(actor, incident_id)
    if actor.services is not None and not set(incident.services) <= actor.services:
        raise Forbidden("This incident has breakers outside of your services.")
    return incident


def _row(actor: Actor, incident_id: str) -> Incident:
    incident = incidents_for(actor).filter(pk=row_id(incident_id)).first()
    if incident is None:
        raise NotFound("No such incident.")
    return incident


def incidents_out(rows: Sequence[Incident], actor: Actor | None = None) -> list[IncidentOut]:
    """In the order of `rows`; an actor sees only the breakers within its limits, and a summary of those."""
    named = _named(rows, actor)
    is_limited = actor is not None and actor.services is not None
    return [_out(row, named[row.pk], is_limited=is_limited) for row in rows]


def _named(
    rows: Sequence[Incident], actor: Actor | None = None
) -> Mapping[int, Mapping[str, tuple[str, str]]]:
    """Of each incident its breakers in the order in which they joined: id to service and name."""
    members = IncidentBreaker.objects.filter(incident__in=[row.pk for row in rows])
    if actor is not None and actor.limited:
        members = members.filter(breaker__in=breakers_for(actor))
    named: dict[int, dict[str, tuple[str, str]]] = defaultdict(dict)
    for incident_id, breaker_id, service, breaker in members.order_by(
        "joined_at", "id"
    ).values_list("incident_id", "breaker_id", "breaker__service__name", "breaker__name"):
        named[incident_id].setdefault(str(breaker_id), (service, breaker))
    return named


def _out(row: Incident, named: Mapping[str, tuple[str, str]], *, is_limited: bool) -> IncidentOut:
    summary = row.summary
    if is_limited and named and {service for service, _ in named.values()} < set(row.services):
        summary = summary_within(
            named.values(),
            condition=row.condition,
            environment=row.environment,
            target=row.target,
        )
    return IncidentOut(
        id=str(row.pk),
        rule=rule_ref(row),
        severity=row.severity,
        status=row.status.value,
        target=row.target,
        breakers=list(named),
        muted=row.muted,
        summary=summary,
        started_at=row.started_at,
        acknowledged_at=row.acknowledged_at,
        acknowledged_by=row.acknowledged_by,
        resolved_at=row.resolved_at,
        url=incident_url(row.pk),
    )


def incidents_as_seen(ids: Collection[int]) -> list[Seen]:
    """By id, with no limits: for telling sockets, each of which has its own."""
    rows = list(Incident.objects.filter(pk__in=ids).order_by("id"))
    named = _named(rows)
    return [
        Seen(
            _out(row, named[row.pk], is_limited=False),
            row.environment,
            row.condition,
            dict(named[row.pk]),
        )
        for row in rows
    ]


def open_incidents(actor: Actor, *, limit: int = 200) -> list[IncidentOut]:
    """What is not resolved, the gravest and newest first."""
    require(actor, Scope.READ)
    rows = list(
        incidents_for(actor).filter(resolved_at=None).order_by("-started_at", "-id")[:limit]
    )
    rows.sort(key=lambda row: _GRAVITY[row.severity])
    return incidents_out(rows, actor)


_GRAVITY = {"critical": 0, "warning": 1, "info": 2}


def _gravity(field: str) -> Case:
    """For ordering by a severity, the gravest first."""
    return Case(*(When(**{field: name}, then=Value(n)) for name, n in _GRAVITY.items()))


def suggestions(actor: Actor, *, limit: int = 200) -> list[IncidentOut]:
    """What policies suggest and nobody has done or resolved, the newest first."""
    require(actor, Scope.READ)
    rows = incidents_for(actor).filter(policy__isnull=False, resolved_at=None)
    return incidents_out(list(rows.order_by("-started_at", "-id")[:limit]), actor)


def newest_incidents(
    actor: Actor, *, statuses: Collection[str] = (), limit: int = 100
) -> list[IncidentOut]:
    """The last that began, resolved or not."""
    require(actor, Scope.READ)
    rows = with_status(incidents_for(actor), statuses).order_by("-started_at", "-id")
    return incidents_out(list(rows[:limit]), actor)


def incidents_to_list(
    actor: Actor, *, statuses: Collection[str] = (), limit: int = 100
) -> list[IncidentOut]:
    """What fires, then what is acknowledged, the gravest and newest first; then the newest of what is over."""
    require(actor, Scope.READ)
    rows = with_status(incidents_for(actor), statuses)
    now = rows.filter(resolved_at=None).annotate(
        gravity=_gravity("severity"), is_taken=Case(When(acknowledged_at=None, then=0), default=1)
    )
    found = list(
        now.order_by(
            "is_taken",
            "gravity",
            "-started_at",
            "-id",
        )[:limit]
    )
    over = rows.filter(resolved_at__isnull=False).order_by("-started_at", "-id")
    return incidents_out(found + list(over[: limit - len(found)]), actor)


def incident_to_see(actor: Actor, incident_id: str) -> IncidentDetail:
    """One incident with its timeline, notes and deliveries; raises NotFound."""
    row = incident_row(actor, incident_id)
    entries = [
        Entry(str(one.pk), one.at, one.kind, one.by_name, one.text)
        for one in IncidentEntry.objects.filter(incident=row).order_by("at", "id")
    ]
    deliveries = Delivery.objects.filter(incident=row).order_by("-id")[:500]
    return IncidentDetail(
        incident=incidents_out([row], actor)[0],
        environment=row.environment,
        snoozed_until=row.snoozed_until if row.resolved_at is None else None,
        timeline=entries,
        notes=[one for one in entries if one.kind == "note"],
        deliveries=deliveries_out(deliveries, actor),
    )


def unwell_now(actor: Actor, *, limit: int = 2_000) -> list[Unwell]:
    """Each breaker that is not well in an unresolved incident, with the gravest and newest of those; these first."""
    require(actor, Scope.READ)
    members = IncidentBreaker.objects.filter(
        _NOT_WELL, incident__in=incidents_for(actor).filter(resolved_at=None)
    )
    if actor.limited:
        members = members.filter(breaker__in=breakers_for(actor))
    found: dict[int, Unwell] = {}
    for one in members.select_related("incident").order_by(
        _gravity("incident__severity"), "-incident__started_at", "-incident_id", "breaker_id"
    )[:limit]:
        said = Unwell(str(one.breaker_id), str(one.incident_id), rule_ref(one.incident))
        found.setdefault(one.breaker_id, said)
    return list(found.values())


def incidents_of_breaker(actor: Actor, breaker: Breaker) -> list[IncidentOut]:
    """The unresolved incidents in which it is not well, the gravest and newest first."""
    require(actor, Scope.READ)
    members = IncidentBreaker.objects.filter(_NOT_WELL, breaker=breaker)
    rows = list(
        incidents_for(actor)
        .filter(resolved_at=None, pk__in=members.values("incident_id"))
        .order_by("-started_at", "-id")
    )
    rows.sort(key=lambda row: _GRAVITY[row.severity])
    return incidents_out(rows, actor)


def deliveries_for(actor: Actor) -> QuerySet[Delivery]:
    """Those about incidents that the actor sees; about channels: only without limits."""
    rows = Delivery.objects.all()
    return rows.filter(incident__in=incidents_for(actor)) if actor.limited else rows


def deliveries_out(
    rows: QuerySet[Delivery] | Sequence[Delivery], actor: Actor
) -> list[DeliveryOut]:
    """As the actor sees them: of a channel outside the limits only the kind."""
    if isinstance(rows, QuerySet):
        rows = list(rows.select_related("channel").prefetch_related("log"))
    seen = None
    if actor.limited:
        seen = set(channels_for(actor).values_list("pk", flat=True))
    return [
        DeliveryOut(
            id=str(row.pk),
            message_id=webhook_id(row),
            incident=None if row.incident_id is None else str(row.incident_id),
            channel=_channel(row, known=seen is None or row.channel_id in seen),
            type=row.type,
            status=row.status,
            attempts=row.attempts,
            created_at=row.created_at,
            next_attempt_at=row.due_at if row.finished_at is None else None,
            finished_at=row.finished_at,
            superseded_by=None if row.superseded_by_id is None else str(row.superseded_by_id),
            detail=row.detail,
            log=[
                AttemptOut(one.number, one.at, one.ok, one.status, one.detail, one.took_ms)
                for one in sorted(row.log.all(), key=lambda one: one.number)
            ],
        )
        for row in rows
    ]


def _channel(row: Delivery, *, known: bool) -> ChannelRef:
    if not known:
        return ChannelRef(None, None, row.channel.kind)
    return ChannelRef(str(row.channel_id), row.channel.name, row.channel.kind)


def newest_deliveries(
    actor: Actor, *, statuses: Collection[str] = (), limit: int = 100
) -> list[DeliveryOut]:
    require(actor, Scope.READ)
    rows = deliveries_for(actor)
    if statuses:
        rows = rows.filter(status__in=statuses)
    return deliveries_out(rows.order_by("-created_at", "-id")[:limit], actor)


def webhook_id(row: Delivery) -> str:
    """The id by which a receiver drops repeats."""
    return f"msg_{row.message_id.hex}"
