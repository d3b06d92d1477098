"""The life of incidents outside of evaluation, and the one way by which messages become deliveries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from alerts.announce import announce
from alerts.channels import channel_kinds
from alerts.fold import UPDATE_EVERY
from alerts.messages import Message, message_about, to_json
from alerts.models import (
    Channel,
    Delivery,
    DeliveryStatus,
    EntryKind,
    Incident,
    IncidentEntry,
    MessageType,
    Rule,
)
from alerts.updating import update_rows
from alerts.wake import wake_delivery
from breakers.access import Actor
from breakers.audit import record
from breakers.errors import Conflict
from breakers.wire import told_time

GIVE_UP_AFTER = timedelta(hours=72)
_AT_ONCE = timedelta()


@dataclass(frozen=True, slots=True)
class Post:
    """A message about an incident to these channels; the incident is locked."""

    incident_id: int
    message: Message
    channels: Sequence[int]


def post(posts: Sequence[Post], *, now: datetime) -> None:
    """Makes the deliveries, in order, and supersedes those that wait for the same places.

    The first message of an incident waits for as long as its channel's kind gathers.
    A message still waiting for its next try is replaced. The first message of an incident that was never
    tried is not: whoever hears the end hears the beginning.
    """
    gathered = _gathered(
        {id for one in posts if one.message.type == MessageType.FIRING for id in one.channels}
    )
    made = [
        Delivery(
            incident_id=one.incident_id,
            channel_id=channel,
            type=one.message.type,
            message=to_json(one.message),
            created_at=now,
            due_at=now + gathered.get(channel, _AT_ONCE)
            if one.message.type == MessageType.FIRING
            else now,
            give_up_at=now + GIVE_UP_AFTER,
        )
        for one in posts
        for channel in one.channels
    ]
    if not made:
        return
    Delivery.objects.bulk_create(made)
    newest: dict[tuple[int | None, int], Delivery] = {}
    for delivery in made:
        newest[delivery.incident_id, delivery.channel_id] = delivery
    waiting = Delivery.objects.filter(
        incident__in={delivery.incident_id for delivery in made}, status=DeliveryStatus.PENDING
    )
    replaced = []
    for delivery in waiting.order_by("id").select_for_update(no_key=True):
        newer = newest.get((delivery.incident_id, delivery.channel_id))
        if newer is not None and delivery.pk < newer.pk and is_replaceable(delivery, now):
            supersede(delivery, newer, now)
            replaced.append(delivery)
    update_rows(replaced, ["status", "superseded_by", "finished_at", "detail", "leased_until"])
    transaction.on_commit(wake_delivery)


def _gathered(channels: Collection[int]) -> dict[int, timedelta]:
    """Channel → how long it gathers."""
    rows = Channel.objects.filter(pk__in=channels).values_list("pk", "kind") if channels else ()
    known = channel_kinds.names()
    return {
        id: timedelta(seconds=channel_kinds.get(kind).gathers_s)
        for id, kind in rows
        if kind in known
    }


def is_replaceable(delivery: Delivery, now: datetime) -> bool:
    """Whether a newer message may take its place: it is not being tried, and not an untried beginning."""
    if delivery.leased_until is not None and delivery.leased_until > now:
        return False
    return delivery.attempts > 0 or delivery.type != MessageType.FIRING


def supersede(delivery: Delivery, newer: Delivery, now: datetime) -> None:
    delivery.status = DeliveryStatus.SUPERSEDED
    delivery.superseded_by_id = newer.pk
    delivery.finished_at = now
    delivery.leased_until = None
    delivery.detail = f"Replaced by the newer message “{newer.type}”."


def told_channels(incident_ids: Iterable[int]) -> dict[int, list[int]]:
    """Incident → the enabled channels that were told of it: who hears the beginning hears the rest."""
    told: dict[int, list[int]] = defaultdict(list)
    pairs = (
        Delivery.objects.filter(incident__in=set(incident_ids), channel__enabled=True)
        .order_by("incident_id", "channel_id")
        .values_list("incident_id", "channel_id")
        .distinct()
    )
    for incident_id, channel_id in pairs:
        assert incident_id is not None  # the filter says so
        told[incident_id].append(channel_id)
    return told


def follow_up(incident: Incident, kind: MessageType, *, now: datetime) -> None:
    """A further message about a locked, saved incident."""
    if incident.muted or incident.rule_id is None:
        return  # nobody was told of it
    runbook_url = Rule.objects.values_list("runbook_url", flat=True).get(pk=incident.rule_id)
    message = message_about(incident, kind, at=now, runbook_url=runbook_url)
    channels = told_channels([incident.pk]).get(incident.pk, [])
    post([Post(incident.pk, message, channels)], now=now)


def locked(incident_id: int) -> Incident:
    return Incident.objects.select_for_update(no_key=True).get(pk=incident_id)


def acknowledge_incident(incident_id: int, *, by: Actor, note: str, now: datetime) -> Incident:
    """Somebody is at it. Repeated, it changes nothing; raises Conflict if it is resolved."""
    with transaction.atomic():
        incident = locked(incident_id)
        if incident.resolved_at is not None:
            raise Conflict("The incident is resolved.")
        if incident.acknowledged_at is None:
            incident.acknowledged_at, incident.acknowledged_by = now, by.name
            incident.save(update_fields=["acknowledged_at", "acknowledged_by"])
            _enter(incident, EntryKind.ACKNOWLEDGED, by=by.name, text=note, now=now)
            _record(by, "acknowledge_incident", incident, reason=note)
            follow_up(incident, MessageType.ACKNOWLEDGED, now=now)
            announce([incident])
        return incident


def resolve_incident(incident_id: int, *, by: Actor, note: str, now: datetime) -> Incident:
    """Over by someone's word. It fires again once a further instance matches, or after all were well."""
    with transaction.atomic():
        incident = locked(incident_id)
        if incident.resolved_at is None:
            end_incident(incident, text=note, by_name=by.name, now=now)
            _record(by, "resolve_incident", incident, reason=note)
        return incident


def end_incident(
    incident: Incident,
    *,
    text: str,
    by_name: str | None,
    now: datetime,
    since: datetime | None = None,
) -> None:
    """Resolves a locked incident, whatever its breakers say; whoever was told of it hears that too.

    `since` is when it was over, where that is not now.
    """
    incident.resolved_at = max(since or now, incident.started_at)
    incident.clear_at = incident.update_at = None
    incident.save(update_fields=["resolved_at", "clear_at", "update_at"])
    _enter(incident, EntryKind.RESOLVED, by=by_name, text=text, now=now)
    follow_up(incident, MessageType.RESOLVED, now=now)
    announce([incident])


def snooze_incident(
    incident_id: int, *, lasting: timedelta, by: Actor, note: str, now: datetime
) -> Incident:
    """Nothing more is told of it for a while, but its end; then, that it still is, and who joined meanwhile.

    No time at all ends a snooze.

    Raises Conflict if it is resolved.
    """
    with transaction.atomic():
        incident = locked(incident_id)
        if incident.resolved_at is not None:
            raise Conflict("The incident is resolved.")
        until = now + lasting if lasting else None
        if until or incident.snoozed_until:
            earliest = (incident.updated_at or now - UPDATE_EVERY) + UPDATE_EVERY
            incident.update_at = max(until or now, earliest)
        incident.snoozed_until = until
        incident.save(update_fields=["snoozed_until", "update_at"])
        said = f"until {until:%Y-%m-%d %H:%M} UTC" if until else "no longer"
        _enter(
            incident,
            EntryKind.SNOOZED,
            by=by.name,
            text=f"{said}: {note}" if note else said,
            now=now,
        )
        _record(by, "snooze_incident", incident, reason=note, snoozed_until=told_time(until))
        announce([incident])
        return incident


def add_note(incident_id: int, *, by: Actor, text: str, now: datetime) -> IncidentEntry:
    with transaction.atomic():
        incident = locked(incident_id)
        _record(by, "note_on_incident", incident, reason=text[:2000])
        return _enter(incident, EntryKind.NOTE, by=by.name, text=text, now=now)


def _enter(
    incident: Incident, kind: EntryKind, *, by: str | None, text: str, now: datetime
) -> IncidentEntry:
    return IncidentEntry.objects.create(incident=incident, at=now, kind=kind, by_name=by, text=text)


def _record(by: Actor, action: str, incident: Incident, *, reason: str, **after: object) -> None:
    record(
        by,
        action,
        kind="incident",
        id=incident.pk,
        subject=incident.summary,
        reason=reason,
        environment=incident.environment,
        after={"status": incident.status.value, **after},
    )
