"""`/breakers/ID/`: one breaker, its instances, what happened to it, and a hand on it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import msgspec
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from breakers.access import Actor, breaker_to_see
from breakers.history.read import events
from breakers.live.board import summary_of
from breakers.models import Breaker, BreakerInstance
from breakers.wire import Summary
from dashboard.pages import words
from dashboard.pages.frame import page, render_page

EVENTS_MOST = 30
"""The last events shown; more come from the API."""


@dataclass(frozen=True, slots=True)
class InstanceRow:
    """One instance's standing, with what it has made of the desired state in words."""

    name: str
    state: str
    natural_state: str | None
    since: datetime | None
    last_seen: datetime
    standing: str
    standing_tone: str


@page
@require_safe
def breaker_page(request: HttpRequest, actor: Actor, breaker_id: str) -> HttpResponse:
    breaker = breaker_to_see(actor, breaker_id)
    summary = summary_of(actor, breaker_id)
    held = list(
        breaker.breaker_instances.filter(instance__retired_at__isnull=True)
        .select_related("instance")
        .order_by("instance__name")
    )
    live = sum(one.instance.lost_at is None for one in held)
    standing = breaker.overrides.filter(ended_at__isnull=True).first()
    return render_page(
        request,
        actor,
        "breaker/page.html",
        {
            "breaker": breaker,
            "summary": summary,
            "sentence": sentence(summary),
            "instances": [_row(one, breaker) for one in held],
            "live": live,
            "override": summary.override,
            "standing": standing,
            "applied_percent": _applied_percent(summary),
            "events": events(breaker, limit=EVENTS_MOST),
            "events_most": EVENTS_MOST,
            "libraries": sorted({one.library for one in held if one.library}),
            "settings": _settings(held),
            "match": msgspec.json.encode({"environment": summary.environment, "service": summary.service}).decode(),
        },
    )


def sentence(summary: Summary) -> list[words.Part]:
    """What is so, as a person would say it: "Open in 3 of 3 instances. Calls to catalog are refused." """
    target = summary.target or "what it guards"
    override = summary.override
    state = words.Part(words.state_title(summary.state), state=summary.state)
    if override is not None:
        by = f" wished by {override.by}: {words.instance_words(summary)}."
        wish = words.Part(words.state_title(override.mode), state=override.mode)
        return [wish, words.Part(by + _meaning(override.mode, target))]
    if summary.state == "unknown":
        said = "no instance is left to say how it stands." if summary.instances else "no instance has reported it yet."
        return [state, words.Part(f": {said}")]
    count = summary.states.get(summary.state, 0)
    where = " in the one instance." if summary.instances == 1 else f" in {count} of {summary.instances} instances."
    return [state, words.Part(where + _meaning(summary.state, target))]


def _meaning(state: str, target: str) -> str:
    return {
        "open": f" Calls to {target} are refused there.",
        "forced_open": f" Calls to {target} are refused, whatever their outcome would be.",
        "half_open": f" A few calls to {target} are let through, to see whether it is back.",
        "forced_closed": f" Calls to {target} go through, whatever becomes of them.",
        "closed": f" Calls to {target} go through.",
    }.get(state, "")


def _row(one: BreakerInstance, breaker: Breaker) -> InstanceRow:
    said, tone = _standing(one, breaker.revision)
    if one.instance.lost_at is None and one.applied_revision and one.natural_state and one.natural_state != one.state:
        said += f" · would be {words.state_word(one.natural_state)}"
    return InstanceRow(
        name=one.instance.name,
        state=one.state,
        natural_state=one.natural_state,
        since=one.since,
        last_seen=one.instance.last_seen,
        standing=said,
        standing_tone=tone,
    )


def _standing(one: BreakerInstance, revision: int) -> tuple[str, str]:
    """What the instance has made of the desired state, and the tone to say it in."""
    instance = one.instance
    if instance.lost_at is not None:
        return ("not applied · lost" if revision > one.applied_revision else "lost"), "unknown"
    if instance.connected is None:
        return "known by its events alone", "unknown"
    if one.refused_revision is not None and one.refused_revision > one.applied_revision:
        return f"✗ revision {one.refused_revision} · {one.refused_error or 'refused'}", "open"
    if one.applied_revision < revision:
        return f"waiting for revision {revision}", "half_open"
    if not instance.connected:
        return "not connected", "unknown"
    return (f"✓ revision {one.applied_revision}" if revision else "✓ connected"), "closed"


def _applied_percent(summary: Summary) -> int:
    if summary.override is None:
        return 0
    total = summary.override.applied + summary.override.pending
    return 100 * summary.override.applied // total if total else 0


def _settings(held: list[BreakerInstance]) -> list[tuple[str, str]]:
    """What the library was configured with, where the instances agree."""
    configs = [one.config for one in held if one.config]
    if not configs:
        return []
    return [(key, str(value)) for key, value in sorted(configs[0].items()) if all(c.get(key) == value for c in configs)]
