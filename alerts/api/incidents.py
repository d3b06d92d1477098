from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Literal

from django.http import HttpResponse
from django.utils import timezone
from ninja import Router, Schema, Status
from pydantic import Field

from alerts.api.deliveries import DeliveryOut
from alerts.api.forms import Authed, Limit, Note, Reason, Text, plain, statuses_of
from alerts.export import as_markdown, incident_to_export
from alerts.incidents import acknowledge_incident, add_note, resolve_incident, snooze_incident
from alerts.models import Incident, IncidentEntry, Severity
from alerts.models import Status as IncidentStatus
from alerts.policy_changes import hold_as_suggested
from alerts.read import (
    incident_to_operate,
    incident_to_see,
    incidents_for,
    incidents_out,
    unwell_now,
    with_status,
)
from breakers.access import Actor
from breakers.api.auth import OPERATE, READ
from breakers.api.body import Body
from breakers.cursor import LIMIT_DEFAULT, page

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
    snoozed_until: datetime | None
    timeline: list[EntryOut]
    notes: list[EntryOut]
    deliveries: list[DeliveryOut]


class MemberOut(Schema):
    """A breaker of an incident; `well_at` is null while it makes it fire."""

    id: str
    environment: str
    service: str
    breaker: str
    target: str | None
    joined_at: datetime
    well_at: datetime | None


class IncidentExportOut(IncidentDetailOut):
    exported_at: datetime
    members: list[MemberOut]


class IncidentPage(Schema):
    items: list[IncidentOut]
    next: str | None


class ActIn(Body):
    """Why, for the timeline and the audit log; `reason` and `note` mean the same."""

    reason: Note = ""
    note: Note = ""

    @property
    def words(self) -> str:
        return self.reason or self.note


class NoteIn(Body):
    text: Text


class SnoozeIn(Body):
    """`for` in seconds, at most 30 days; 0 ends the snooze."""

    lasting: Annotated[int, Field(ge=0, le=30 * 86_400, alias="for")]
    reason: Note = ""


class SnoozedOut(IncidentOut):
    snoozed_until: datetime | None


class UnwellOut(Schema):
    """A breaker and the incident in which it is not well."""

    breaker: str
    incident: str
    rule: RuleRef


class UnwellList(Schema):
    items: list[UnwellOut]


class HoldIn(Body):
    reason: Reason


@router.get("", auth=READ, response=IncidentPage)
def get_incidents(
    request: Authed, status: str = "", limit: Limit = LIMIT_DEFAULT, cursor: str = ""
) -> IncidentPage:
    """Incidents, newest first; `status` is a comma list of firing, acknowledged, resolved."""
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


@router.get("/unwell", auth=READ, response=UnwellList)
def get_unwell(request: Authed) -> UnwellList:
    """The breakers that are not well in an incident that is not resolved, each with the gravest and newest; at most 2,000."""
    return UnwellList(items=[UnwellOut(**plain(one)) for one in unwell_now(request.auth)])


@router.get("/{incident_id}", auth=READ, response=IncidentDetailOut)
def get_incident(request: Authed, incident_id: str) -> IncidentDetailOut:
    """One incident with its timeline, notes and deliveries."""
    seen = plain(incident_to_see(request.auth, incident_id))
    return IncidentDetailOut(**seen.pop("incident"), **seen)


@router.post("/{incident_id}/acknowledge", auth=OPERATE, response=IncidentOut)
def post_acknowledge(request: Authed, incident_id: str, body: ActIn | None = None) -> IncidentOut:
    """Says that somebody is at it; 409 if it is resolved."""
    incident = incident_to_operate(request.auth, incident_id)
    words = body.words if body else ""
    return _out(
        acknowledge_incident(incident.pk, by=request.auth, note=words, now=timezone.now()),
        request.auth,
    )


@router.post("/{incident_id}/resolve", auth=OPERATE, response=IncidentOut)
def post_resolve(request: Authed, incident_id: str, body: ActIn | None = None) -> IncidentOut:
    """Ends it by hand, whatever its breakers say."""
    incident = incident_to_operate(request.auth, incident_id)
    words = body.words if body else ""
    return _out(
        resolve_incident(incident.pk, by=request.auth, note=words, now=timezone.now()),
        request.auth,
    )


@router.post("/{incident_id}/snooze", auth=OPERATE, response=SnoozedOut)
def post_snooze(request: Authed, incident_id: str, body: SnoozeIn) -> SnoozedOut:
    """Tells nobody of it for a while, but that it is resolved; then, if it still is not, says so. 409 if it is."""
    incident = incident_to_operate(request.auth, incident_id)
    snoozed = snooze_incident(
        incident.pk,
        lasting=timedelta(seconds=body.lasting),
        by=request.auth,
        note=body.reason,
        now=timezone.now(),
    )
    (out,) = incidents_out([snoozed], request.auth)
    return SnoozedOut(**plain(out), snoozed_until=snoozed.snoozed_until)


@router.get("/{incident_id}/export", auth=READ, response=IncidentExportOut)
def get_export(
    request: Authed, incident_id: str, format: Literal["md", "json"] = "json"
) -> IncidentExportOut | HttpResponse:
    """All of an incident as a file: JSON, or Markdown for a review of it."""
    seen = incident_to_export(request.auth, incident_id, now=timezone.now())
    if format == "md":
        answer = HttpResponse(as_markdown(seen), content_type="text/markdown; charset=utf-8")
    else:
        told = plain(seen)
        detail = told.pop("detail")
        whole = IncidentExportOut(**detail.pop("incident"), **detail, **told)
        answer = HttpResponse(
            whole.model_dump_json(indent=2), content_type="application/json; charset=utf-8"
        )
    name = f"incident-{seen.detail.incident.id}.{format}"
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer


@router.post("/{incident_id}/hold", auth=OPERATE, response=IncidentOut)
def post_hold(request: Authed, incident_id: str, body: HoldIn) -> IncidentOut:
    """Does what a policy suggests by this incident: forces the breaker open on all instances, then probes. 409
    if it suggests nothing, or something forbids it by now."""
    incident = incident_to_operate(request.auth, incident_id)
    return _out(
        hold_as_suggested(incident.pk, reason=body.reason, by=request.auth, now=timezone.now()),
        request.auth,
    )


@router.post("/{incident_id}/notes", auth=OPERATE, response={201: EntryOut})
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
