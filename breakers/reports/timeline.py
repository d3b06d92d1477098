"""The states of a breaker instance over time, from its state changes. Pure.

The state at an instant is that of the highest-ranking change that had occurred by then, by all that is known
now: the order is the one that current state has (`states.Rank`), so a report ends where the board is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from breakers.states import Change, Held, State

_RESTARTS_WITHIN = timedelta(seconds=60)
"""An absence that is shorter is a restart, over which what was goes on: as long may an instance be silent without being
lost."""
_RETURNS_WITHIN = timedelta(seconds=5)
"""What was left open and is not any more so soon after the return was not open in between: an agent may first say that
it is there, and then as what."""
Absence = tuple[datetime, datetime]
"""In which an instance was retired, or did not have the breaker."""


class Spell(NamedTuple):
    """A time in one state, or in None, as it was not there; it lasts until the next one begins."""

    state: State | None
    begun: datetime


class Timeline(NamedTuple):
    """The spells of one breaker instance, by time. `ended` is when it was retired; None: it is still there.
    `left` is the state that the first change says it came from; None where nobody says."""

    spells: Sequence[Spell]
    ended: datetime | None = None
    left: State | None = None


def timeline(
    changes: Iterable[Change],
    *,
    start: Held | None = None,
    left: State | None = None,
    retired_at: datetime | None = None,
    absences: Iterable[Absence] = (),
) -> Timeline:
    """`start` is what was known at the edge of history, or `left` what the first change says it came from. A retirement
    before the last change does not count."""
    spells: list[Spell] = []
    highest = None
    if start is not None:
        begun = start.not_closed_since
        if start.state in _ILL and begun is not None and begun < start.since:
            # Its probes lie before history; when the outage began is what is left of them.
            spells.append(Spell(State.OPEN, begun))
        spells.append(Spell(start.state, start.since))
        highest = start.last.rank
    for change in sorted(changes, key=lambda one: (one.occurred_at, one.rank)):
        if highest is not None and change.rank <= highest:
            continue
        highest = change.rank
        if not spells or spells[-1].state is not change.to:
            spells.append(Spell(change.to, change.occurred_at))
    if retired_at is not None and spells and retired_at < spells[-1].begun:
        retired_at = None
    for since, until in sorted(absences):
        if until - since >= _RESTARTS_WITHIN:
            spells = _without(spells, since, until)
    return Timeline(spells, retired_at, left)


def _without(spells: Sequence[Spell], since: datetime, until: datetime) -> list[Spell]:
    """With nothing between the two but an absence."""
    before = [spell for spell in spells if spell.begun < since]
    after = [spell for spell in spells if spell.begun >= until]
    if len(after) == len(spells):
        return after
    returned = spells[len(spells) - len(after) - 1].state
    if returned in _ILL and after and after[0].begun - until < _RETURNS_WITHIN:
        returned = after.pop(0).state
    return [*before, Spell(None, since), Spell(returned, until), *after]


class Outage(NamedTuple):
    """From not being closed until closed again; `ended` is None while it lasts, or where it ended unseen, as its instance
    went (`gone`). A trip is one that was seen to leave closed."""

    begun: datetime
    ended: datetime | None
    is_trip: bool
    gone: datetime | None = None


_WELL = frozenset({State.CLOSED, State.FORCED_CLOSED})
_ILL = frozenset({State.OPEN, State.HALF_OPEN})


def outages(line: Timeline) -> list[Outage]:
    """By time. Probes that fail, a loss and a hand that forces it open belong to the outage they fall into; forcing open
    what was closed begins none."""
    found: list[Outage] = []
    begun: datetime | None = None
    is_trip, before = False, line.left
    for spell in line.spells:
        if spell.state in _ILL and begun is None:
            begun, is_trip = spell.begun, before is State.CLOSED
        elif spell.state in _WELL and begun is not None:
            found.append(Outage(begun, spell.begun, is_trip))
            begun = None
        elif spell.state is None and begun is not None:
            found.append(Outage(begun, None, is_trip, spell.begun))
            begun = None
        before = spell.state
    if begun is not None:
        found.append(Outage(begun, None, is_trip, line.ended))
    return found
