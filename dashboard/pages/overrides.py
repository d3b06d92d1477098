"""`/overrides/`: every hand on a breaker, and what is left of it."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from breakers.access import Actor, breakers_for, environments_for, services_for
from breakers.desired.endings import endings
from breakers.desired.plan import is_newer
from breakers.live.board import board
from breakers.live.match import Match
from breakers.models import Override, PlannedOverride, Scope
from breakers.registry_read import not_known
from breakers.states import State
from breakers.wire import Summary
from dashboard.pages import words
from dashboard.pages.episodes import ended_episodes
from dashboard.pages.frame import page, render_page

ENDED_MOST = 50
PLANNED_MOST = 200
MISSED_SHOWN_FOR = timedelta(days=7)
NAMES_MOST = 500
"""Suggested in the form; more can still be typed."""


@page
@require_safe
def overrides_page(request: HttpRequest, actor: Actor) -> HttpResponse:
    standing = [summary for summary in board(actor, Match()) if summary.override is not None]
    standing.sort(
        key=lambda s: (
            (s.override.expires_at is None, s.override.expires_at, s.id) if s.override else ()
        )
    )
    planned = _planned(actor)
    ended = ended_episodes(actor, limit=ENDED_MOST)
    return render_page(
        request,
        actor,
        "overrides/list.html",
        {
            "headline": _headline(standing, planned=len(planned), limited=actor.limited),
            "planned": planned,
            "missed": _missed(actor),
            **(_names(actor) if Scope.OPERATE in actor.can else {}),
            "standing": standing,
            "ended": ended,
            "endings": endings([one.last for one in ended]),
            "ended_most": ENDED_MOST,
        },
    )


def _planned(actor: Actor) -> list[tuple[PlannedOverride, str, str]]:
    """Those that wait, by whom the newer override is that one waits for, if it does, and which names it is for are
    nobody's."""
    rows = list(
        PlannedOverride.objects.filter(breaker__in=breakers_for(actor), ended_at=None)
        .select_related("breaker__service__environment")
        .order_by("starts_at", "id")[:PLANNED_MOST]
    )
    standing = {
        one.breaker_id: one
        for one in Override.objects.filter(
            breaker__in=[row.breaker_id for row in rows], ended_at=None
        )
    }
    unknown = not_known({row.breaker_id: row.instances or () for row in rows})
    return [
        (
            row,
            held.author if (held := standing.get(row.breaker_id)) and is_newer(held, row) else "",
            words.not_known(unknown[row.breaker_id]),
        )
        for row in rows
    ]


def _missed(actor: Actor) -> list[PlannedOverride]:
    return list(
        PlannedOverride.objects.filter(
            breaker__in=breakers_for(actor),
            end="missed",
            ended_at__gt=timezone.now() - MISSED_SHOWN_FOR,
        )
        .select_related("breaker__service__environment")
        .order_by("-ended_at", "-id")[:ENDED_MOST]
    )


def _names(actor: Actor) -> dict[str, Any]:
    """What the form for many suggests."""
    targets = breakers_for(actor).exclude(target=None).order_by("target")
    services = services_for(actor).order_by("name")
    return {
        "environments_seen": environments_for(actor)
        .order_by("name")
        .values_list("name", flat=True),
        "services_seen": services.values_list("name", flat=True).distinct()[:NAMES_MOST],
        "targets_seen": targets.values_list("target", flat=True).distinct()[:NAMES_MOST],
        "states": list(State),
    }


def _headline(standing: list[Summary], *, planned: int, limited: bool) -> str:
    later = f" {planned} planned." if planned else ""
    if not standing:
        return f"No breaker{' that you may see' if limited else ''} is held by hand.{later}"
    modes = Counter(summary.override.mode for summary in standing if summary.override)
    said = " and ".join(
        f"{count} {words.state_word(mode)}" for mode, count in sorted(modes.items(), reverse=True)
    )
    deaf = sum(summary.override.unreachable for summary in standing if summary.override)
    refused = sum(summary.override.refused for summary in standing if summary.override)
    unknown = sum(summary.override.not_known for summary in standing if summary.override)
    pending = sum(summary.override.pending for summary in standing if summary.override)
    pending -= deaf + refused
    forever = sum(summary.override.expires_at is None for summary in standing if summary.override)
    waits = (
        f" {words.counted(pending, 'instance has', 'instances have')} not applied theirs yet."
        if pending
        else ""
    )
    if refused:
        waits += f" {words.counted(refused, 'instance')} refused."
    if deaf:
        waits += f" {words.counted(deaf, 'instance')} cannot obey."
    if unknown:
        waits += (
            f" {words.counted(unknown, 'named instance is', 'named instances are')} not known yet."
        )
    ends = f" {forever} without an expiry." if forever else ""
    return f"{said}.{waits}{ends}{later}"
