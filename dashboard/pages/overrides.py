"""`/overrides/`: every hand on a breaker, and what is left of it."""

from __future__ import annotations

from collections import Counter

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from breakers.access import Actor, breakers_for
from breakers.desired.endings import endings
from breakers.live.board import board
from breakers.live.match import Match
from breakers.models import Override
from breakers.wire import Summary
from dashboard.pages import words
from dashboard.pages.frame import page, render_page

ENDED_MOST = 50


@page
@require_safe
def overrides_page(request: HttpRequest, actor: Actor) -> HttpResponse:
    standing = [summary for summary in board(actor, Match()) if summary.override is not None]
    standing.sort(
        key=lambda s: (
            (s.override.expires_at is None, s.override.expires_at, s.id) if s.override else ()
        )
    )
    ended = list(
        Override.objects.filter(breaker__in=breakers_for(actor), ended_at__isnull=False)
        .select_related("breaker__service__environment")
        .order_by("-ended_at", "-id")[:ENDED_MOST]
    )
    return render_page(
        request,
        actor,
        "overrides/list.html",
        {
            "headline": _headline(standing, limited=actor.limited),
            "standing": standing,
            "ended": ended,
            "endings": endings(ended),
            "ended_most": ENDED_MOST,
        },
    )


def _headline(standing: list[Summary], *, limited: bool) -> str:
    if not standing:
        return f"No breaker{' that you may see' if limited else ''} is held by hand."
    modes = Counter(summary.override.mode for summary in standing if summary.override)
    said = " and ".join(
        f"{count} {words.state_word(mode)}" for mode, count in sorted(modes.items(), reverse=True)
    )
    pending = sum(summary.override.pending for summary in standing if summary.override)
    forever = sum(summary.override.expires_at is None for summary in standing if summary.override)
    waits = (
        f" {words.counted(pending, 'instance has', 'instances have')} not applied theirs yet."
        if pending
        else ""
    )
    ends = f" {forever} without an expiry." if forever else ""
    return f"{said}.{waits}{ends}"
