"""What stands above what on the board: one order, gravest first, and where in it the well ones begin. Pure.

The browser has the same in `frontend/src/model/gravity.ts`; `frontend/test/cases/gravity.json` holds both to it, and
`docs/board.md` tells it to people.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import IntEnum

from breakers.live.past import SummaryThen
from breakers.wire import OverrideSummary, Summary

SILENT_AFTER = timedelta(hours=1)
"""A word so old, with no agent to vouch for it, says little of now."""


class Rung(IntEnum):
    """How grave a breaker's standing is, gravest first; what does not need a look is `WELL`, or
    no longer there."""

    OPEN = 0
    FAILING = 1
    """See `is_failing`."""
    REFUSED = 2
    """An instance refused the override that stands."""
    UNAPPLIED = 3
    """The override is not in effect everywhere, yet or ever."""
    STILL_FORCED = 4
    """An instance is forced that no override concerns any more."""
    FORCED_OPEN = 5
    HALF_OPEN = 6
    INCIDENT = 7
    """By its state it is well or not there, and a rule says that it is not well."""
    LOST = 8
    """All of its instances, within the hour."""
    PARTLY_LOST = 9
    """Some of its instances are lost, or not connected, and may soon be."""
    SILENT = 10
    """Not known to be well, and nobody has said a word of it for an hour."""
    HELD = 11
    """An override is in effect everywhere, and refuses nothing."""
    WELL = 12
    GONE = 13
    """See `is_gone`."""


_BY_STATE = {"forced_open": Rung.FORCED_OPEN, "half_open": Rung.HALF_OPEN}


def rung(summary: Summary | SummaryThen, *, has_incident: bool, now: datetime) -> Rung:
    """Where it stands; `now` is the instant that is shown. Of the past, what only the present knows counts for nothing:
    incidents, what was applied, and whether an agent speaks for it."""
    state, override = summary.state, summary.override
    if is_gone(summary):
        return Rung.INCIDENT if has_incident else Rung.HELD if override else Rung.GONE
    is_silent = _is_silent(summary, now)
    if state == "open" and not is_silent:
        return Rung.OPEN
    if isinstance(summary, Summary) and is_failing(summary) and not is_silent:
        return Rung.FAILING
    if isinstance(override, OverrideSummary) and override.pending:
        return Rung.REFUSED if override.refused else Rung.UNAPPLIED
    if isinstance(summary, Summary) and summary.still_forced:
        return Rung.STILL_FORCED
    if is_silent and (has_incident or state not in ("closed", "forced_closed")):
        return Rung.SILENT
    if state in _BY_STATE:
        return _BY_STATE[state]
    if has_incident:
        return Rung.INCIDENT
    if lost(summary):
        return Rung.LOST if state == "unknown" else Rung.PARTLY_LOST
    if isinstance(summary, Summary) and summary.not_connected:
        return Rung.PARTLY_LOST
    return Rung.HELD if override else Rung.WELL


def is_gone(summary: Summary | SummaryThen) -> bool:
    """Whether no instance holds it any more: the last one took its leave, which is no loss."""
    return summary.instances == 0


def lost(summary: Summary | SummaryThen) -> int:
    """How many of its instances are: others are unknown because they told no state yet."""
    untold = summary.untold if isinstance(summary, Summary) else 0
    return summary.states.get("unknown", 0) - untold


def is_failing(summary: Summary) -> bool:
    """Whether an outage is held closed: calls go through, and fail."""
    return summary.state == "forced_closed" and summary.naturally_open > 0


def _is_silent(summary: Summary | SummaryThen, now: datetime) -> bool:
    """Whether nobody has said a word of it for long; an agent that is connected goes on vouching for its last one."""
    if summary.state == "unknown":
        return summary.since is None or now - summary.since >= SILENT_AFTER
    return (
        isinstance(summary, Summary)
        and summary.agents == 0
        and now - summary.updated_at >= SILENT_AFTER
    )
