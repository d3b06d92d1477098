"""Which points are asked for, and where they come from. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from math import ceil

from breakers.errors import FieldError, Invalid
from breakers.metrics.kept import HOURS_KEPT, MINUTES_KEPT, snapshots_kept

POINTS_MOST = 1_000
_POINTS_WANTED = 240
"""Where no step is given: what a chart can show."""
_FRESH = timedelta(hours=2)
"""A span that is read from snapshots, which are up to the second, whatever its step."""
_USUAL = timedelta(hours=1)
_AHEAD = timedelta(days=366)
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Source(StrEnum):
    """What the points are made of."""

    SNAPSHOTS = "snapshots"
    MINUTES = "minutes"
    HOURS = "hours"


_LEAST = {Source.SNAPSHOTS: 1, Source.MINUTES: 60, Source.HOURS: 3600}


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """The points that begin at `since` ≤ t < `until`, every `step` seconds from the epoch on."""

    since: datetime
    until: datetime
    step: int
    source: Source

    @property
    def beginnings(self) -> list[datetime]:
        first = ceil((self.since - _EPOCH).total_seconds() / self.step) * self.step
        last = (self.until - _EPOCH).total_seconds()
        return [
            _EPOCH + timedelta(seconds=second) for second in range(first, ceil(last), self.step)
        ]


def span_of(
    *, since: datetime | None, until: datetime | None, step: int | None, now: datetime
) -> Span:
    """What is left open is chosen: the last hour, and a step that makes about 240 points at most.

    Raises Invalid for a span that ends before it begins, for one that begins before anything is kept, and for a
    step that is too small for the span or its age, or that is no multiple of what is kept then; it names the least.
    """
    earliest = now - HOURS_KEPT
    for name, said in (("since", since), ("until", until)):
        if said is not None and said < earliest:
            raise Invalid([FieldError((name,), f"is more than {HOURS_KEPT.days} days ago")])
        if said is not None and said > now + _AHEAD:
            raise Invalid([FieldError((name,), f"is more than {_AHEAD.days} days ahead")])
    until = until or now
    since = since or until - _USUAL
    if until <= since:
        raise Invalid([FieldError(("until",), "must be later than since")])
    finest = _finest(since, now)
    least = _least(until - since, _LEAST[finest])
    if step is None:
        wanted = max(least, ceil((until - since).total_seconds() / _POINTS_WANTED))
        step = next((usual for usual in _STEPS if usual >= wanted), -(-wanted // 86400) * 86400)
    if step < least or step % _unit(step, finest):
        unit = _unit(max(step, least), finest)
        of = "" if unit == 1 else f", and a multiple of {unit}"
        raise Invalid([FieldError(("step",), f"must be at least {least} s here{of}")])
    return Span(since=since, until=until, step=step, source=_source(since, until, step, finest))


def _finest(since: datetime, now: datetime) -> Source:
    if since >= now - snapshots_kept():
        return Source.SNAPSHOTS
    return Source.MINUTES if since >= now - MINUTES_KEPT else Source.HOURS


def _unit(step: int, finest: Source) -> int:
    """What the step must be a multiple of: seconds below a minute, else minutes or hours."""
    if finest is Source.HOURS:
        return 3600
    return 60 if step > 60 else _LEAST[finest]


def _least(length: timedelta, least: int) -> int:
    wanted = max(least, ceil(length.total_seconds() / POINTS_MOST))
    unit = max(least, 60) if wanted > 60 else least
    return -(-wanted // unit) * unit


def _source(since: datetime, until: datetime, step: int, finest: Source) -> Source:
    if finest is Source.SNAPSHOTS and (step < 60 or until - since <= _FRESH):
        return Source.SNAPSHOTS
    if finest is Source.HOURS or step % 3600 == 0:
        return Source.HOURS
    return Source.MINUTES
