"""How the outage that a breaker is in began, and whether others on the same target have one, too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from breakers.access import Actor
from breakers.history.read import events_of
from breakers.live.board import board
from breakers.live.match import Match
from breakers.models import Breaker
from breakers.wire import Summary
from dashboard.pages import words
from dashboard.pages.events import EventRow, event_row

_IN_OUTAGE = ("open", "half_open")
_INSTANT = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Beginning:
    """The trip that began an outage, with the figures that came with it."""

    trip: EventRow
    figures: list[tuple[str, str]]
    spread: str
    """How the other instances followed; empty where there are none."""
    others: str
    """What the other breakers on the same target say; empty where they say nothing."""


def beginning_of(
    actor: Actor, breaker: Breaker, summary: Summary, outages: Sequence[datetime]
) -> Beginning | None:
    """None where the breaker is in no outage, or history no longer has its beginning.

    `outages` are the beginnings in the breaker's instances.
    """
    began = summary.not_closed_since
    if summary.state not in _IN_OUTAGE or began is None:
        return None
    found, _ = events_of(
        breaker, since=began, until=began + _INSTANT, type="state_change", limit=10
    )
    # Newest first: a probe may follow within the millisecond.
    trip = next((event for event in reversed(found) if event["to"] in _IN_OUTAGE), None)
    if trip is None or trip["cause"] == "override":
        return None
    return Beginning(
        trip=event_row(trip),
        figures=_figures(trip["metrics"] or {}),
        spread=_spread([at for at in outages if at > began], began),
        others=_others(
            summary,
            []
            if summary.target is None
            else board(actor, Match(environment=summary.environment, target=summary.target)),
        ),
    )


def _figures(metrics: dict[str, Any]) -> list[tuple[str, str]]:
    said = [
        (name.replace("_", " "), words.percent(metrics[name]))
        for name in ("failure_rate", "slow_rate")
        if metrics.get(name) is not None
    ]
    if metrics.get("calls") is not None:
        window = metrics.get("window")
        over = "" if window is None else f" in {words.lasting(max(window, 1))}"
        said.append(("calls", f"{metrics['calls']:,}{over}"))
    return said


def _spread(followed: Sequence[datetime], began: datetime) -> str:
    if not followed:
        return ""
    within = words.lasting((max(followed) - began).total_seconds() + 1)
    return f"{words.counted(len(followed), 'other instance')} followed within {within}."


def _others(summary: Summary, on_target: Sequence[Summary]) -> str:
    """Whether it looks like the target or like this caller."""
    others = [one for one in on_target if one.id != summary.id and one.state != "unknown"]
    failing = sum(one.state in _IN_OUTAGE for one in others)
    closed = sum(one.state == "closed" for one in others)
    if failing:
        of = f"{failing} of {words.counted(len(others), 'other breaker')}"
        return f"{of} on {summary.target} {'is' if failing == 1 else 'are'} not closed either: it looks like the target."
    if closed and closed == len(others):
        which = "The other breaker" if closed == 1 else f"The other {closed:,} breakers"
        verb = "is" if closed == 1 else "are"
        return (
            f"{which} on {summary.target} {verb} closed: it looks like this caller, not the target."
        )
    return ""
