"""How the board, of now or of a past instant, is filtered, ordered and grouped. Pure."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.http import QueryDict

from dashboard.pages import words
from dashboard.pages.filtering import filter_of
from dashboard.pages.gravity import Rung, rung
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
    groups: list[Group] = []
    tiles = 0
    for group in shown["groups"]:
        if groups and tiles + len(group.members) > TILES_PAINTED:
            break
        groups.append(group)
        tiles += len(group.members)
    look = shown["look"][:ROWS_PAINTED]
    later = len(shown["look"]) - len(look) + len(shown["well"]) - tiles
    return shown | {"look": look, "groups": groups, "later": later}


@dataclass(frozen=True, slots=True)
class Group:
    """The well breakers of one service."""

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
    chosen = [summary for summary in matching if not wish.states or summary.state in wish.states]
    rungs = {s.id: rung(s, has_incident=s.id in in_incidents, now=now) for s in chosen}
    chosen.sort(key=lambda s: (rungs[s.id], words.title(s), s.environment, s.breaker))
    among = {summary.id for summary in chosen}
    hidden = [summary for summary in everything if summary.id not in among]
    look = [summary for summary in chosen if rungs[summary.id] < Rung.WELL]
    well = chosen[len(look) :]
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
        "chips": [(state, sum(s.state == state for s in matching)) for state in CHIPS],
        "chosen": chosen,
        "look": look,
        "silent": {id for id, found in rungs.items() if found is Rung.SILENT},
        "well": well,
        "well_words": _well_words(well),
        "groups": _groups(well),
        "named": len(well) <= NAMED_MOST,
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
