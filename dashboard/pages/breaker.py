"""`/breakers/ID/`: one breaker, its instances, what happened to it, and a hand on it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from alerts.read import incidents_of_breaker
from breakers.access import Actor, breaker_of_history, breaker_to_see, removed_breaker
from breakers.authors import author_words
from breakers.desired.acts import acts_on
from breakers.desired.drift import DriftKind
from breakers.desired.endings import endings
from breakers.desired.plan import is_newer
from breakers.errors import Invalid, NotFound
from breakers.guards.approvals import approvals_for, waiting
from breakers.guards.foresee import foresee
from breakers.guards.words import another_words, forbidden_words
from breakers.live.board import summary_of
from breakers.models import Breaker, Override, PlannedOverride, Scope
from breakers.registry_read import instances_of, not_known
from breakers.wire import Summary
from dashboard.pages import words
from dashboard.pages.approvals import approval_rows
from dashboard.pages.chart import calls_of
from dashboard.pages.events import SHOWN_OF_A_RUN, EventsPage, events_page
from dashboard.pages.frame import page, render_page
from dashboard.pages.gravity import lost
from dashboard.pages.outage import beginning_of

INSTANCES_MOST = 500
ACTS_SHOWN = 6
_FORCED = ("forced_open", "forced_closed")


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
    probe_due_at: datetime | None
    last_seen: datetime | None
    lost: bool
    deaf: bool
    """Live and known by events alone."""
    clock_behind_s: float | None
    applied: int
    refused: int | None
    """The revision that it refused last, with its `error`."""
    error: str
    natural: str
    connected: bool | None
    wanted: int
    drift: str
    """The kind of drift, or nothing."""
    drift_since: datetime | None
    refused_at: datetime | None
    """Of a refusal that is over: by a later success, or by a later wish."""
    standing: str
    standing_tone: str


@dataclass(frozen=True, slots=True)
class ActRow:
    """One thing that a hand did, in words."""

    id: str
    what: str
    by: str
    at: datetime | None
    reason: str
    scope: str
    starts_at: datetime | None
    until: datetime | None
    approved_by: str
    broke: str
    """The guard that it got past. This and the four before it are told of what was made, not of what was ended."""


_MADE = frozenset({"trip", "reset", "override", "plan_override", "start_override"})


def act_row(act: dict[str, Any], *, present: Collection[str] = ()) -> ActRow:
    """An act of `acts_on`: "Tripped", "Forced open", "Planned: forced open". A command names all instances that there
    were: its scope is told where it left out some of those that are there now (`present`)."""
    made = act if act["act"] in _MADE else {}
    instances = made.get("instances")
    if made.get("act") in ("trip", "reset") and set(present) <= set(instances or ()):
        instances = None
    mode = words.state_word(act["mode"] or "")
    said = {
        "trip": "Tripped",
        "reset": "Reset",
        "override": mode.capitalize(),
        "release": "Released",
        "expire": "Ended as its time was over,",
        "plan_override": f"Planned: {mode}",
        "start_override": f"Began as planned: {mode},",
        "cancel_override": "Plan cancelled",
        "miss_override": f"Missed: planned {mode},",
    }
    return ActRow(
        id=act["id"],
        what=said[act["act"]],
        by=author_words(act["by_kind"], act["by"]),
        at=_moment(act["at"]),
        reason=act["reason"],
        scope=words.scope(instances, made.get("except") or ()),
        starts_at=_moment(made.get("starts_at") if act["act"] == "plan_override" else None),
        until=_moment(made.get("expires_at")),
        approved_by=made.get("approved_by") or "",
        broke=made.get("broke") or "",
    )


@page
@require_safe
def breaker_page(request: HttpRequest, actor: Actor, breaker_id: str) -> HttpResponse:
    try:
        breaker = breaker_to_see(actor, breaker_id)
    except NotFound:
        return _removed_page(request, actor, breaker_id)
    summary = summary_of(actor, breaker_id)
    held, _ = instances_of(breaker, limit=INSTANCES_MOST)
    held.sort(key=lambda one: str(one["instance"]))
    outages = [moment for one in held if (moment := _moment(one["not_closed_since"]))]
    lead, since = words.standing_since(summary.state, summary.since, summary.not_closed_since)
    # Asked for once: between two questions one may begin or end.
    latest = breaker.overrides.order_by("-revision").first()
    standing = latest if latest and latest.ended_at is None else None
    planned = breaker.planned.filter(ended_at__isnull=True).first()
    ended = None if standing else latest
    now = timezone.now()
    may_operate = Scope.OPERATE in actor.can
    asked = waiting(approvals_for(actor), now).filter(breakers__contains=[breaker.pk])
    return render_page(
        request,
        actor,
        "breaker/page.html",
        {
            "summary": summary,
            "service_id": breaker.service_id,
            "here_again": request.path,
            "sentence": sentence(summary, now),
            "incidents": incidents_of_breaker(actor, breaker),
            "instances": [_instance_row(one) for one in held],
            "live": sum(one["lost_at"] is None for one in held),
            "deaf": sum(one["lost_at"] is None and one["connected"] is None for one in held),
            "override": summary.override,
            "standing": standing,
            "nobody_obeys": summary.override is not None and words.nobody_obeys(summary.override),
            "not_known": _not_known(standing),
            "planned": planned,
            "planned_not_known": _not_known(planned),
            "planned_waits": planned is not None and is_newer(standing, planned),
            "acts": [
                act_row(one, present=[str(row["instance"]) for row in held])
                for one in acts_on(breaker, limit=ACTS_SHOWN)[0]
            ],
            "ended": ended,
            "ended_scope": words.scope(ended.instances, ended.excepted) if ended else "",
            "ending": endings([ended]).get(ended.pk) if ended else None,
            "outlook": _outlook(breaker, actor, now) if may_operate else {},
            "approvals": approval_rows(asked.order_by("-created_at", "-id"), actor, now)
            if may_operate
            else [],
            "applied_percent": _applied_percent(summary),
            "lead": lead,
            "since": since,
            "beginning": beginning_of(actor, breaker, summary, outages),
            "chart": calls_of(breaker, now=timezone.now()),
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


def _not_known(override: Override | PlannedOverride | None) -> str:
    """Of the names that it is for: which are nobody's, in words."""
    if override is None:
        return ""
    found = not_known({override.breaker_id: override.instances or ()})
    return words.not_known(found[override.breaker_id])


def _removed_page(request: HttpRequest, actor: Actor, breaker_id: str) -> HttpResponse:
    """What is left of a breaker that was removed: its events."""
    was = removed_breaker(actor, breaker_id)
    breaker = breaker_of_history(actor, breaker_id)
    context = {"was": was, "events": _events(request, breaker), "shown_of_a_run": SHOWN_OF_A_RUN}
    return render_page(request, actor, "breaker/removed.html", context)


def _outlook(breaker: Breaker, actor: Actor, now: datetime) -> dict[str, str]:
    """What a hand on it would meet, in words; what it would not is left out."""
    outlook = foresee(breaker, by=actor, now=now)
    said = {
        "confirm": outlook.confirm,
        "guard": forbidden_words(outlook.forbidden) if outlook.forbidden else None,
        "another": another_words(outlook.another) if outlook.another else None,
    }
    return {name: text for name, text in said.items() if text}


def _events(request: HttpRequest, breaker: Breaker) -> EventsPage:
    """The page of history that the address asks for; a cursor that is none leads nowhere."""
    before, each = request.GET.get("before", ""), request.GET.get("events") == "each"
    try:
        return events_page(breaker, before=before, each=each)
    except Invalid as problem:
        raise NotFound("No such page of events.") from problem


def sentence(summary: Summary, now: datetime) -> list[words.Part]:
    """What is so, as a person would say it: "Open in 3 of 3 instances. Calls to catalog are refused." """
    target = summary.target or "what it guards"
    override = summary.override
    if override and override.expires_at and override.expires_at <= now:
        override = (
            None  # Instances drop it by themselves; that it ended is noted within a second or two.
        )
    state = words.Part(words.standing_title(summary), state=summary.state)
    if override is not None:
        by = f" by {override.author}: {words.instance_words(summary)}."
        wish = words.Part(words.state_title(override.mode), state=override.mode)
        if words.nobody_obeys(override):
            return [wish, words.Part(f" by {override.author}, and nobody obeys: it has no agent.")]
        if not override.applied + override.pending:
            own = " Each instance follows its own judgement." if summary.instances else ""
            return [wish, words.Part(by + own)]
        held = summary.states.get(override.mode, 0)
        everywhere = override.pending == 0 and held >= override.applied
        everywhere = everywhere and not words.is_partial(summary)
        meaning = _meaning(override.mode, target)
        where = meaning if everywhere else f" Where it is applied, c{meaning[2:]}"
        return [wish, words.Part(by + where)]
    if not summary.instances:
        return [state, words.Part(": no instance holds it any more.")]
    if summary.state == "unknown" and not lost(summary):
        return [state, words.Part(": no instance has told a state yet.")]
    if summary.state == "unknown":
        return [state, words.Part(": no instance is left to say how it stands.")]
    count = summary.states.get(summary.state, 0)
    where = (
        " in the one instance."
        if summary.instances == 1
        else f" in {count} of {summary.instances} instances."
    )
    meaning = _meaning(summary.state, target)
    if summary.still_forced:
        # It is so in these instances alone; the others have heard.
        meaning = f" There, c{meaning[2:]}" if summary.state in _FORCED else meaning
        still = f"Still forced on {words.counted(summary.still_forced, 'instance')}"
        have = "has" if summary.still_forced == 1 else "have"
        return [
            state,
            words.Part(
                f"{where}{meaning} {still} that {have} not heard that the override is over."
            ),
        ]
    return [state, words.Part(where + meaning)]


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
    natural = one["natural_state"] if one["lost_at"] is None else None
    drift = one["drift"] or {"kind": "", "since": None}
    since = _moment(one["lost_at"] or one["since"])
    outage = _moment(one["not_closed_since"])
    refusal = one["last_refusal"] or {"revision": None, "error": "", "at": None}
    lead, standing_since = words.standing_since(one["state"], since, outage)
    return InstanceRow(
        name=one["instance"],
        state=one["state"],
        since=since,
        not_closed_since=outage,
        lead=lead,
        standing_since=standing_since,
        probe_due_at=_moment(one["probe_due_at"]),
        last_seen=_moment(one["last_seen"]),
        lost=one["lost_at"] is not None,
        deaf=one["lost_at"] is None and one["connected"] is None,
        clock_behind_s=one["clock_behind"],
        applied=one["applied_revision"],
        refused=refusal["revision"],
        error=refusal["error"] or "",
        natural=natural if natural and natural != one["state"] else "",
        connected=one["connected"],
        wanted=one["revision"] if one["connected"] is not None or one["wanted"] else 0,
        drift=drift["kind"],
        drift_since=_moment(drift["since"]),
        refused_at=None if drift["kind"] == DriftKind.REFUSED else _moment(refusal["at"]),
        standing=said,
        standing_tone=tone,
    )


def _standing(one: dict[str, Any]) -> tuple[str, str]:
    """What the instance has made of the desired state, and the tone to say it in."""
    wished, wanted = one["revision"], words.state_word(one["wanted"] or "")
    drift = one["drift"]["kind"] if one["drift"] else None
    if one["lost_at"] is not None:
        return ("✗ lost · not applied" if drift else "✗ lost"), "unknown"
    if drift == DriftKind.REFUSED:
        return f"✗ refused revision {one['last_refusal']['revision']}: {one['apply_error']}", "open"
    if one["connected"] is None:
        known = "known by its events alone"
        return (f"cannot obey: {known}", "half_open") if one["wanted"] else (known, "unknown")
    if drift == DriftKind.BEHIND:
        return f"≠ waiting for revision {wished}", "half_open"
    if drift == DriftKind.CONTRADICTS:
        is_so = words.state_word(one["state"])
        return f"≠ {is_so}, though {wanted or 'no override'} is wanted", "open"
    if not one["connected"]:
        return ("as wanted when last heard" if wished else "not connected"), "unknown"
    return ("✓ as wanted" if wished else "✓ no override"), "closed"


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
