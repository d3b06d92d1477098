"""`/`: every breaker that the person may see, gravest first, before any script runs: all of them,
or of a large fleet what fits on the first screens."""

from __future__ import annotations

import re

import msgspec
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_safe

from alerts.read import unwell_now
from breakers.access import Actor
from breakers.live.board import board
from breakers.live.match import Match
from breakers.renaming import current_service
from dashboard.pages import words
from dashboard.pages.arranging import Wish, arrange, painted
from dashboard.pages.board_then import board_then
from dashboard.pages.frame import page, render_page

_SERVICE = re.compile(r'(?<![a-z])service="([^"\\]+)"')


def _moved(actor: Actor, asked: QueryDict) -> str | None:
    """The query with what a service is called now, where it names one by a former name."""
    environment = asked.get("environment", "")

    def now(found: re.Match[str]) -> str:
        return f'service="{current_service(actor, found[1], environment=environment)}"'

    moved = asked.copy()
    if "q" in asked:
        moved["q"] = _SERVICE.sub(now, asked.get("q", ""))
    if "service" in asked:
        service = asked.get("service", "")
        moved["service"] = current_service(actor, service, environment=environment)
    return moved.urlencode() if moved != asked else None


@page
@require_safe
def board_page(request: HttpRequest, actor: Actor) -> HttpResponse:
    moved = _moved(actor, request.GET)
    if moved is not None:
        return redirect(f"{request.path}?{moved}")
    if "at" in request.GET:
        return board_then(request, actor)
    everything = board(actor, Match())
    unwell = unwell_now(actor)
    incidents = {one.breaker: one for one in unwell}
    shown = arrange(everything, Wish.of(request.GET), now=timezone.now(), in_incidents=incidents)
    if not everything and actor.limited:
        shown["headline"] = [words.Part("No breaker that you may see.")]
    shown = painted(shown)
    return render_page(
        request,
        actor,
        "board/page.html",
        shown
        | {
            # All or nothing: of a part the script would draw a smaller fleet.
            "data": None if shown["later"] else msgspec.to_builtins(everything),
            "incidents": incidents,
            "unwell": msgspec.to_builtins(unwell),
        },
    )
