"""What a span of time adds up to, over any number of breaker instances. Pure.

Everything is counted where it happens, so that the tallies of a split span add up to that of the whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise

from breakers.reports.timeline import Outage, Spell, Timeline, outages
from breakers.states import State

FLAP_WITHIN = timedelta(minutes=5)
_LETS_THROUGH = (State.CLOSED, State.FORCED_CLOSED)
_NOTHING = timedelta(0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Tally:
    """Times in `states` are summed over instances (instance-seconds). A trip belongs to the span in which it begins,
    a recovery to the one in which it ends, with its whole length."""

    states: dict[State, timedelta] = field(default_factory=dict)
    any_open: timedelta = _NOTHING
    """With at least one instance open."""
    trips: int = 0
    flaps: int = 0
    recoveries: int = 0
    recovering: timedelta = _NOTHING
    """The lengths of the outages that ended, together."""
    longest_outage: timedelta = _NOTHING
    """Of those that the span saw: from its beginning, even before the span, to its end or the span's."""
    instances: int = 0
    """That were there at any time of the span."""

    @property
    def mean_time_to_recover(self) -> timedelta | None:
        return self.recovering / self.recoveries if self.recoveries else None

    @property
    def availability(self) -> float | None:
        """Percent of the known time in which calls were let through; None where nothing is known."""
        known = sum(
            (lasted for state, lasted in self.states.items() if state is not State.UNKNOWN),
            _NOTHING,
        )
        if not known:
            return None
        through = sum((self.states.get(state, _NOTHING) for state in _LETS_THROUGH), _NOTHING)
        return 100 * (through / known)


def tally(timelines: Iterable[Timeline], *, since: datetime, until: datetime) -> Tally:
    """Of one breaker's instances, or of all instances of a service's breakers."""
    states: dict[State, timedelta] = {}
    opened: list[tuple[datetime, datetime]] = []
    trips = flaps = recoveries = instances = 0
    recovering = longest = _NOTHING
    for line in timelines:
        there = False
        for state, begun, ended in _clipped(line, since, until):
            there = True
            states[state] = states.get(state, _NOTHING) + (ended - begun)
            if state is State.OPEN:
                opened.append((begun, ended))
        instances += there
        seen = outages(line)
        began = [outage for outage in seen if outage.is_trip and since <= outage.begun < until]
        over = [o.ended - o.begun for o in seen if o.ended is not None and since <= o.ended < until]
        trips += len(began)
        flaps += _flaps(seen, since, until)
        recoveries += len(over)
        recovering += sum(over, _NOTHING)
        longest = max([longest, *_lengths(seen, since, until)])
    return Tally(
        states=states,
        any_open=_union(opened),
        trips=trips,
        flaps=flaps,
        recoveries=recoveries,
        recovering=recovering,
        longest_outage=longest,
        instances=instances,
    )


def _clipped(
    line: Timeline, since: datetime, until: datetime
) -> Iterator[tuple[State, datetime, datetime]]:
    end = until if line.ended is None else min(until, line.ended)
    for spell, following in pairwise([*line.spells, Spell(State.UNKNOWN, end)]):
        begun, ended = max(spell.begun, since), min(following.begun, end)
        if begun < ended and spell.state is not None:
            yield spell.state, begun, ended


def _flaps(seen: list[Outage], since: datetime, until: datetime) -> int:
    return sum(
        later.is_trip
        and since <= later.begun < until
        and earlier.ended is not None
        and later.begun - earlier.ended < FLAP_WITHIN
        for earlier, later in pairwise(seen)
    )


def _lengths(seen: list[Outage], since: datetime, until: datetime) -> Iterator[timedelta]:
    for outage in seen:
        ended = outage.ended or outage.gone or until
        if outage.begun < until and ended > since:
            yield min(ended, until) - outage.begun


def _union(spans: list[tuple[datetime, datetime]]) -> timedelta:
    """The time that lies in at least one of them."""
    total, reached = _NOTHING, None
    for begun, ended in sorted(spans):
        if reached is None or begun > reached:
            total += ended - begun
        elif ended > reached:
            total += ended - reached
        reached = ended if reached is None else max(reached, ended)
    return total
