"""`/`: every breaker that the person may see, gravest first, complete before any script runs."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from alerts.read import incident_of_breakers
from breakers.access import Actor
from breakers.live.board import board
from breakers.live.match import Match
from breakers.wire import Summary
from dashboard.pages import words
from dashboard.pages.frame import page, render_page

NAMED_MOST = 48
"""Up to this many well breakers a name says more than a tile."""
CHIPS = ("open", "half_open", "forced_open", "forced_closed", "unknown", "closed")


@dataclass(frozen=True, slots=True)
class Group:
    """The well breakers of one service."""

    environment: str
    service: str
    members: list[Summary]


@page
@require_safe
def board_page(request: HttpRequest, actor: Actor) -> HttpResponse:
    everything = board(actor, Match())
    environment, states, text = _wish(request)
    scope = [summary for summary in everything if environment in ("", summary.environment)]
    matching = [summary for summary in scope if _mentions(summary, text)]
    chosen = sorted((s for s in matching if not states or s.state in states), key=_order)
    among = {summary.id for summary in chosen}
    hidden = [summary for summary in everything if summary.id not in among]
    look = [summary for summary in chosen if words.needs_look(summary)]
    well = [summary for summary in chosen if not words.needs_look(summary)]
    counts = {state: sum(s.state == state for s in matching) for state in CHIPS}
    return render_page(
        request,
        actor,
        "board/page.html",
        {
            "data": msgspec.to_builtins(everything),
            "everything": everything,
            "environments": sorted({summary.environment for summary in everything}),
            "environment": environment,
            "text": text,
            "states": states,
            "tab": words.tab_title(scope),
            "headline": words.headline(chosen, filtered=bool(hidden))
            if everything or not actor.limited
            else [words.Part("No breaker that you may see.")],
            "underline": words.filtered_underline(chosen, hidden)
            if hidden
            else words.underline(chosen),
            "filtered": bool(hidden),
            "chips": counts.items(),
            "look": look,
            "incidents": incident_of_breakers(actor, [summary.id for summary in look]),
            "chosen": chosen,
            "well": well,
            "well_words": _well_words(well),
            "groups": _groups(well),
            "named": len(well) <= NAMED_MOST,
            "many_environments": len({summary.environment for summary in scope}) > 1,
        },
    )


def _wish(request: HttpRequest) -> tuple[str, frozenset[str], str]:
    """The filter in the address: environment, states, text."""
    states = frozenset(request.GET.get("state", "").split(",")) & frozenset(CHIPS)
    return request.GET.get("environment", ""), states, request.GET.get("q", "")


def _mentions(summary: Summary, text: str) -> bool:
    """Plain words only; matchers (`service="orders"`) are applied by the page's script."""
    if '"' in text or "=" in text:
        return True
    said = f"{summary.service} {summary.breaker} {summary.target or ''} {summary.environment} {words.state_word(summary.state)}"
    return all(word in said.lower() for word in text.lower().split())


def _order(summary: Summary) -> tuple[int, str, str, str]:
    return (
        words.GRAVITY.index(summary.state),
        words.title(summary),
        summary.environment,
        summary.breaker,
    )


def _groups(well: list[Summary]) -> list[Group]:
    groups: dict[tuple[str, str], Group] = {}
    for summary in well:
        key = (summary.service, summary.environment)
        groups.setdefault(key, Group(summary.environment, summary.service, [])).members.append(
            summary
        )
    return [groups[key] for key in sorted(groups)]


def _well_words(well: list[Summary]) -> str:
    counts = {
        state: sum(summary.state == state for summary in well) for state in reversed(words.GRAVITY)
    }
    return " · ".join(
        f"{count:,} {words.state_word(state)}" for state, count in counts.items() if count
    )
