from __future__ import annotations

from datetime import datetime

from django.utils import timezone
from ninja import Router, Schema, Status

from alerts.api.deliveries import DeliveryOut
from alerts.api.forms import Authed, Limit, Note, Text, plain, statuses_of
from alerts.incidents import acknowledge_incident, add_note, resolve_incident
from alerts.models import Incident, IncidentEntry, Severity
from alerts.models import Status as IncidentStatus
from alerts.read import (
    incident_to_operate,
    incident_to_see,
    incidents_for,
    incidents_out,
    with_status,
)
from breakers.access import Actor, require
from breakers.cursor import LIMIT_DEFAULT, page
from breakers.models import Scope

router = Router()


class RuleRef(Schema):
    id: str
    name: str


class IncidentOut(Schema):
    """A rule firing for a group of breakers. `muted`: nobody is told."""

    id: str
    rule: RuleRef
    severity: Severity
    status: IncidentStatus
    target: str | None
    breakers: list[str]
    muted: bool
    summary: str
    started_at: datetime
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    resolved_at: datetime | None
    url: str


class EntryOut(Schema):
    """A line of the timeline; `by` is null where Panelboard itself wrote it."""

    id: str
    at: datetime
    kind: str
    by: str | None
    text: str


class IncidentDetailOut(IncidentOut):
    environment: str
    timeline: list[EntryOut]
    notes: list[EntryOut]
    deliveries: list[DeliveryOut]


class IncidentPage(Schema):
    items: list[IncidentOut]
    next: str | None


class ActIn(Schema):
    """Why, for the timeline and the audit log; `reason` and `note` mean the same."""

    reason: Note = ""
    note: Note = ""

    @property
    def words(self) -> str:
        return self.reason or self.note


class NoteIn(Schema):
    text: Text


@router.get("", response=IncidentPage)
def get_incidents(
    request: Authed, status: str = "", limit: Limit = LIMIT_DEFAULT, cursor: str = ""
) -> IncidentPage:
    """Incidents, newest first; `status` is a comma list of firing, acknowledged, resolved."""
    require(request.auth, Scope.READ)
    asked = statuses_of(status, IncidentStatus.values)
    found, next_ = page(
        with_status(incidents_for(request.auth), asked),
        order=[("started_at", datetime), ("id", int)],
        newest_first=True,
        limit=limit,
        cursor=cursor or None,
        query={"list": "incidents", "status": ",".join(sorted(asked))},
    )
    items = [IncidentOut(**plain(one)) for one in incidents_out(found, request.auth)]
    return IncidentPage(items=items, next=next_)


@router.get("/{incident_id}", response=IncidentDetailOut)
def get_incident(request: Authed, incident_id: str) -> IncidentDetailOut:
    """One incident with its timeline, notes and deliveries."""
    seen = plain(incident_to_see(request.auth, incident_id))
    return IncidentDetailOut(**seen.pop("incident"), **seen)


@router.post("/{incident_id}/acknowledge", response=IncidentOut)
def post_acknowledge(request: Authed, incident_id: str, body: ActIn | None = None) -> IncidentOut:
    """Says that somebody is at it; 409 if it is resolved."""
    incident = incident_to_operate(request.auth, incident_id)
    words = body.words if body else ""
    return _out(
        acknowledge_incident(incident.pk, by=request.auth, note=words, now=timezone.now()),
        request.auth,
    )


@router.post("/{incident_id}/resolve", response=IncidentOut)
def post_resolve(request: Authed, incident_id: str, body: ActIn | None = None) -> IncidentOut:
    """Ends it by hand, whatever its breakers say."""
    incident = incident_to_operate(request.auth, incident_id)
    words = body.words if body else ""
    return _out(
        resolve_incident(incident.pk, by=request.auth, note=words, now=timezone.now()),
        request.auth,
    )


@router.post("/{incident_id}/notes", response={201: EntryOut})
def post_note(request: Authed, incident_id: str, body: NoteIn) -> Status[EntryOut]:
    """Adds a note to the timeline."""
    incident = incident_to_operate(request.auth, incident_id)
    entry = add_note(incident.pk, by=request.auth, text=body.text, now=timezone.now())
    return Status(201, _entry(entry))


def _out(incident: Incident, actor: Actor) -> IncidentOut:
    (out,) = incidents_out([incident], actor)
    return IncidentOut(**plain(out))


def _entry(entry: IncidentEntry) -> EntryOut:
    return EntryOut(
        id=str(entry.pk), at=entry.at, kind=entry.kind, by=entry.by_name, text=entry.text
    )
