"""How the board, of now or of a past instant, is filtered, ordered and grouped. Pure."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.http import QueryDict

from dashboard.pages import words
from dashboard.pages.filtering import filter_of
from dashboard.pages.gravity import Rung, is_gone, rung
from dashboard.pages.words import Shown

NAMED_MOST = 48
"""Up to this many well breakers a name says more than a tile."""
ROWS_PAINTED = 200
TILES_PAINTED = 600
"""What a first paint holds of a large board: more than any screen. The rest comes with the live socket."""
CHIPS = ("open", "half_open", "forced_open", "forced_closed", "unknown", "closed")


@dataclass(frozen=True, slots=True)
class Wish:
    """The filter in the address: environment, states (none: all), text."""

    environment: str
    states: frozenset[str]
    text: str

    @classmethod
    def of(cls, query: QueryDict) -> Wish:
        states = frozenset(query.get("state", "").split(",")) & frozenset(CHIPS)
        return cls(query.get("environment", ""), states, query.get("q", ""))


def painted(shown: dict[str, Any]) -> dict[str, Any]:
    """The same cut down to a first paint: whole groups, and how many breakers are left for later."""
    groups, tiles = _first(shown["groups"], TILES_PAINTED)
    gone_groups, gone = _first(shown["gone_groups"], TILES_PAINTED)
    look = shown["look"][:ROWS_PAINTED]
    later = len(shown["look"]) - len(look) + len(shown["well"]) - tiles + len(shown["gone"]) - gone
    return shown | {"look": look, "groups": groups, "gone_groups": gone_groups, "later": later}


def _first(groups: Sequence[Group], most: int) -> tuple[list[Group], int]:
    """The first groups, at least one where there is one, and how many breakers are in them."""
    found: list[Group] = []
    members = 0
    for group in groups:
        if found and members + len(group.members) > most:
            break
        found.append(group)
        members += len(group.members)
    return found, members


@dataclass(frozen=True, slots=True)
class Group:
    """The breakers of one service that need no look."""

    environment: str
    service: str
    members: list[Shown]


def arrange(
    everything: Sequence[Shown], wish: Wish, *, now: datetime, in_incidents: Container[str] = ()
) -> dict[str, Any]:
    """What the templates of the board are given of it, as it is `now`; `in_incidents` are ids of breakers."""
    scope = [summary for summary in everything if wish.environment in ("", summary.environment)]
    mentions = filter_of(wish.text)
    matching = [summary for summary in scope if mentions(summary)]
    chosen = [
        summary
        for summary in matching
        if not wish.states or (summary.state in wish.states and not is_gone(summary))
    ]
    rungs = {s.id: rung(s, has_incident=s.id in in_incidents, now=now) for s in chosen}
    chosen.sort(key=lambda s: (rungs[s.id], words.title(s), s.environment, s.breaker))
    among = {summary.id for summary in chosen}
    hidden = [summary for summary in everything if summary.id not in among]
    look = [summary for summary in chosen if rungs[summary.id] < Rung.WELL]
    well = [summary for summary in chosen if rungs[summary.id] is Rung.WELL]
    gone = chosen[len(look) + len(well) :]
    return {
        "everything": everything,
        "environments": sorted({summary.environment for summary in everything}),
        "environment": wish.environment,
        "text": wish.text,
        "states": wish.states,
        "tab": words.tab_title(scope),
        "headline": words.headline(chosen, filtered=bool(hidden), look=len(look)),
        "underline": words.filtered_underline(chosen, hidden)
        if hidden
        else words.underline(chosen),
        "filtered": bool(hidden),
        "chips": [
            (state, sum(s.state == state and not is_gone(s) for s in matching)) for state in CHIPS
        ],
        "chosen": chosen,
        "look": look,
        "silent": {id for id, found in rungs.items() if found is Rung.SILENT},
        "well": well,
        "well_words": _well_words(well),
        "groups": _groups(well),
        "named": len(well) <= NAMED_MOST,
        "gone": gone,
        "gone_groups": _groups(gone),
        "gone_named": len(gone) <= NAMED_MOST,
        "many_environments": len({summary.environment for summary in scope}) > 1,
    }


def _groups(well: Sequence[Shown]) -> list[Group]:
    groups: dict[tuple[str, str], Group] = {}
    for summary in well:
        key = (summary.service, summary.environment)
        groups.setdefault(key, Group(summary.environment, summary.service, [])).members.append(
            summary
        )
    return [groups[key] for key in sorted(groups)]


def _well_words(well: Sequence[Shown]) -> str:
    counts = {
        state: sum(summary.state == state for summary in well) for state in reversed(words.GRAVITY)
    }
    return " · ".join(
        f"{count:,} {words.state_word(state)}" for state, count in counts.items() if count
    )
