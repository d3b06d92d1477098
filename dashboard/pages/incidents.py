"""`/incidents/` and `/incidents/ID/`: what fires, what became of it, and who was told."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

import msgspec
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from alerts.models import Status
from alerts.read import IncidentOut, incident_to_see, incidents_to_list, newest_incidents
from breakers.access import Actor
from breakers.live.board import board
from breakers.live.match import Match
from dashboard.pages import words
from dashboard.pages.frame import page, render_page

SHOWN_MOST = 100
STATUSES = tuple(status.value for status in Status)


@page
@require_safe
def incidents_page(request: HttpRequest, actor: Actor) -> HttpResponse:
    status = request.GET.get("status", "")
    chosen = [status] if status in STATUSES else []
    incidents = incidents_to_list(actor, statuses=chosen, limit=SHOWN_MOST)
    current = newest_incidents(actor, statuses=["firing", "acknowledged"], limit=SHOWN_MOST)
    return render_page(
        request,
        actor,
        "incidents/list.html",
        {
            "headline": _headline(
                current,
                newest_incidents(actor, statuses=["resolved"], limit=1),
                limited=actor.limited,
            ),
            "incidents": incidents,
            "statuses": STATUSES,
            "status": status,
            "shown_most": SHOWN_MOST,
        },
    )


def _headline(current: list[IncidentOut], resolved: list[IncidentOut], *, limited: bool) -> str:
    if not current:
        seen = " that you may see" if limited else ""
        if not resolved or resolved[0].resolved_at is None:
            return f"Nothing{seen} is firing, and nothing has."
        ago = words.ago((timezone.now() - resolved[0].resolved_at).total_seconds())
        return f"Nothing{seen} is firing. The last incident was resolved {ago}."
    counts = Counter(incident.status for incident in current)
    said = [f"{counts[status]} {status}" for status in ("firing", "acknowledged") if counts[status]]
    targets = {incident.target for incident in current}
    where = f", on {next(iter(targets))}" if len(targets) == 1 and None not in targets else ""
    return f"{' and '.join(said)}{where}."


@page
@require_safe
def incident_page(request: HttpRequest, actor: Actor, incident_id: str) -> HttpResponse:
    seen = incident_to_see(actor, incident_id)
    members = set(seen.incident.breakers)
    rows = [
        summary
        for summary in board(actor, Match(environment=seen.environment))
        if summary.id in members
    ]
    rows.sort(key=lambda summary: seen.incident.breakers.index(summary.id))
    return render_page(
        request,
        actor,
        "incidents/detail.html",
        {
            "incident": seen.incident,
            "environment_name": seen.environment,
            "snoozed_until": _still(seen.snoozed_until),
            "sentence": _sentence(seen.incident, len(rows)),
            "rows": rows,
            "rows_data": msgspec.to_builtins(rows),
            "timeline": list(reversed(seen.timeline)),
            "deliveries": seen.deliveries,
            "match": msgspec.json.encode({"environment": seen.environment}).decode(),
        },
    )


def _still(until: datetime | None) -> datetime | None:
    return until if until is not None and until > timezone.now() else None


def _sentence(incident: IncidentOut, breakers: int) -> str:
    where = f" guarding {incident.target}" if incident.target else ""
    if incident.is_suggestion:
        return f"The policy “{incident.rule.name}” suggests to hold this breaker{where} open on all instances, and to probe from there."
    told = " Nobody is told: its rule is a dry run." if incident.muted else ""
    return f"{words.counted(breakers, 'breaker')}{where} made the rule “{incident.rule.name}” fire.{told}"
