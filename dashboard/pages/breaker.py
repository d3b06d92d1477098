"""`/breakers/ID/`: one breaker, its instances, what happened to it, and a hand on it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from breakers.access import Actor, breaker_to_see
from breakers.desired.endings import endings
from breakers.errors import Invalid, NotFound
from breakers.live.board import summary_of
from breakers.models import Breaker
from breakers.registry_read import instances_of
from breakers.wire import Summary
from dashboard.pages import words
from dashboard.pages.events import SHOWN_OF_A_RUN, EventsPage, events_page
from dashboard.pages.frame import page, render_page
from dashboard.pages.outage import beginning_of

INSTANCES_MOST = 500


@dataclass(frozen=True, slots=True)
class InstanceRow:
    """One instance's standing, with what it has made of the desired state in words."""

    name: str
    state: str
    since: datetime | None
    not_closed_since: datetime | None
    lead: str
    standing_since: datetime | None
    """As people mean it, after the words of `lead`: the beginning of the outage, its probes included."""
    last_seen: datetime | None
    lost: bool
    clock_behind_s: float | None
    applied: int
    refused: int | None
    """The revision that it refused last, with its `error`."""
    error: str
    standing: str
    standing_tone: str


@page
@require_safe
def breaker_page(request: HttpRequest, actor: Actor, breaker_id: str) -> HttpResponse:
    breaker = breaker_to_see(actor, breaker_id)
    summary = summary_of(actor, breaker_id)
    held, _ = instances_of(breaker, limit=INSTANCES_MOST)
    held.sort(key=lambda one: str(one["instance"]))
    outages = [moment for one in held if (moment := _moment(one["not_closed_since"]))]
    lead, since = words.standing_since(summary.state, summary.since, summary.not_closed_since)
    standing = breaker.overrides.filter(ended_at__isnull=True).first()
    ended = None if standing else breaker.overrides.order_by("-ended_at").first()
    return render_page(
        request,
        actor,
        "breaker/page.html",
        {
            "summary": summary,
            "sentence": sentence(summary),
            "instances": [_instance_row(one) for one in held],
            "live": sum(one["lost_at"] is None for one in held),
            "deaf": sum(one["lost_at"] is None and one["connected"] is None for one in held),
            "override": summary.override,
            "standing": standing,
            "ended": ended,
            "ending": endings([ended]).get(ended.pk) if ended else None,
            "applied_percent": _applied_percent(summary),
            "lead": lead,
            "since": since,
            "beginning": beginning_of(actor, breaker, summary, outages),
            "events": _events(request, breaker),
            "in_outage": summary.state in ("open", "half_open"),
            "shown_of_a_run": SHOWN_OF_A_RUN,
            "libraries": sorted({one["library"] for one in held if one["library"]}),
            "settings": _settings([one["config"] for one in held if one["config"]]),
            "match": msgspec.json.encode(
                {"environment": summary.environment, "service": summary.service}
            ).decode(),
        },
    )


def _events(request: HttpRequest, breaker: Breaker) -> EventsPage:
    """The page of history that the address asks for; a cursor that is none leads nowhere."""
    before, each = request.GET.get("before", ""), request.GET.get("events") == "each"
    try:
        return events_page(breaker, before=before, each=each)
    except Invalid as problem:
        raise NotFound("No such page of events.") from problem


def sentence(summary: Summary) -> list[words.Part]:
    """What is so, as a person would say it: "Open in 3 of 3 instances. Calls to catalog are refused." """
    target = summary.target or "what it guards"
    override = summary.override
    state = words.Part(words.state_title(summary.state), state=summary.state)
    if override is not None:
        by = f" by {override.by}: {words.instance_words(summary)}."
        wish = words.Part(words.state_title(override.mode), state=override.mode)
        everywhere = override.pending == 0 and override.applied > 0
        meaning = _meaning(override.mode, target)
        where = meaning if everywhere else f" Where it is applied, c{meaning[2:]}"
        return [wish, words.Part(by + where)]
    if summary.state == "unknown":
        said = (
            "no instance is left to say how it stands."
            if summary.instances
            else "no instance has reported it yet."
        )
        return [state, words.Part(f": {said}")]
    count = summary.states.get(summary.state, 0)
    where = (
        " in the one instance."
        if summary.instances == 1
        else f" in {count} of {summary.instances} instances."
    )
    return [state, words.Part(where + _meaning(summary.state, target))]


def _meaning(state: str, target: str) -> str:
    return {
        "open": f" Calls to {target} are refused there.",
        "forced_open": f" Calls to {target} are refused, whatever their outcome would be.",
        "half_open": f" A few calls to {target} are let through, to see whether it is back.",
        "forced_closed": f" Calls to {target} go through, whatever becomes of them.",
        "closed": f" Calls to {target} go through.",
    }.get(state, "")


def _instance_row(one: dict[str, Any]) -> InstanceRow:
    said, tone = _standing(one)
    natural = one["natural_state"]
    if one["lost_at"] is None and one["applied_revision"] and natural and natural != one["state"]:
        said += f" · would be {words.state_word(natural)}"
    since = _moment(one["lost_at"] or one["since"])
    outage = _moment(one["not_closed_since"])
    refusal = one["last_refusal"] or {"revision": None, "error": ""}
    lead, standing_since = words.standing_since(one["state"], since, outage)
    return InstanceRow(
        name=one["instance"],
        state=one["state"],
        since=since,
        not_closed_since=outage,
        lead=lead,
        standing_since=standing_since,
        last_seen=_moment(one["last_seen"]),
        lost=one["lost_at"] is not None,
        clock_behind_s=one["clock_behind"],
        applied=one["applied_revision"],
        refused=refusal["revision"],
        error=refusal["error"] or "",
        standing=said,
        standing_tone=tone,
    )


def _standing(one: dict[str, Any]) -> tuple[str, str]:
    """What the instance has made of the desired state, and the tone to say it in."""
    wished, applied = one["revision"], one["applied_revision"]
    if one["lost_at"] is not None:
        return ("lost · not applied" if wished > applied else "lost"), "unknown"
    if one["connected"] is None:
        return "known by its events alone", "unknown"
    if one["apply_error"]:
        return f"✗ revision {one['last_refusal']['revision']} · {one['apply_error']}", "open"
    if applied < wished:
        return f"waiting for revision {wished}", "half_open"
    if not one["connected"]:
        return "not connected", "unknown"
    return (f"✓ revision {applied}" if wished else "✓ connected"), "closed"


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _applied_percent(summary: Summary) -> int:
    if summary.override is None:
        return 0
    total = summary.override.applied + summary.override.pending
    return 100 * summary.override.applied // total if total else 0


def _settings(configs: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """What the library was configured with, where the instances agree."""
    if not configs:
        return []
    return [
        (key, str(value))
        for key, value in sorted(configs[0].items())
        if all(c.get(key) == value for c in configs)
    ]
