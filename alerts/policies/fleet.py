"""The fleet breaker: enough instances of a breaker open, so open it on all, probe with a few, release. Pure.

A case is one breaker under one policy. It watches for openings; once enough came together it holds the
breaker open on all instances, then lets a few through to their own judgement, and releases all once enough
of those have closed, or holds again for longer. Each hold ends by itself if nobody is there to end it.

What counts is what each library says for itself (`natural`), and of that only its own step into open: a
breaker that is open still, or that is forced, is no further evidence. So a policy never feeds itself.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from alerts.verdicts import BreakerView, InstanceView
from breakers.states import State

HOLD_AT_MOST_S = 3600
BACK_OFF_AT_MOST = 4
"""Times the first hold, and never above an hour: a dependency that is back is not kept waiting for longer."""
PROBE_AT_LEAST_S = 10
"""A probe has as long as the first hold, and at least this: calls must come, and its library must wait."""
NAMED_MOST = 3

_UNWELL = frozenset({State.OPEN, State.HALF_OPEN})
_DOUBTFUL = _UNWELL | {State.FORCED_OPEN}
"""An agent that does not tell its natural state leaves open what it would be."""
ByHand = Callable[[str, datetime], bool]
"""Whether the opening of the instance of this name at this time was a hand's, and so says nothing of what it calls."""
_OPENS_FROM = frozenset({State.CLOSED, State.HALF_OPEN, State.UNKNOWN})


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What of a policy decides; times in seconds. One of `count` and `percent` is set."""

    count: int | None = None
    percent: float | None = None
    min_instances: int = 2
    window: int = 60
    hold: int = 60
    probes: int = 1
    successes: int = 3

    def threshold(self, live: int) -> int:
        """How many of so many live instances must have opened."""
        asked = self.count
        if asked is None:
            # 28.999… of 29 is 29 to whoever wrote 10 % of 290.
            asked = math.ceil(round((self.percent or 100) * live / 100, 9))
        return max(asked, self.min_instances, 1)

    def hold_s(self, again: int) -> int:
        """How long the hold lasts that follows so many failed probings."""
        most = max(self.hold, min(BACK_OFF_AT_MOST * self.hold, HOLD_AT_MOST_S))
        return int(min(self.hold * 2 ** min(again, 10), most))

    @property
    def probe_s(self) -> int:
        return max(self.hold, PROBE_AT_LEAST_S)


class Phase(StrEnum):
    WATCHING = "watching"
    HOLDING = "holding"
    PROBING = "probing"


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """What a policy remembers of a breaker while it is not well."""

    began_at: datetime
    """Since when some instance was not closed."""
    phase: Phase = Phase.WATCHING
    openings: Mapping[int, datetime] = {}
    """Instance → when it last went to open by itself, while it has not closed since."""
    tripped_at: datetime | None = None
    again: int = 0
    """Probings that failed since then."""
    until: datetime | None = None
    """The end of this hold, or of the patience with these probes."""
    probes: tuple[str, ...] = ()
    """Let through, and not closed yet."""
    recovered: tuple[str, ...] = ()
    """Let through, and closed."""
    reopened: str | None = None
    """One of those let through that opened."""

    @property
    def excepted(self) -> tuple[str, ...]:
        return self.recovered + self.probes


@dataclass(frozen=True, slots=True)
class Hold:
    """Force it open on all for so many seconds, which is until then. `why` is in words for people."""

    why: str
    for_s: int
    until: datetime
    again: int = 0

    @property
    def text(self) -> str:
        return f"{self.why}: held open on all for {self.for_s} s"


@dataclass(frozen=True, slots=True)
class Probe:
    """The same, except for those that have recovered and these."""

    text: str
    until: datetime
    probes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Release:
    """Leave it to every instance's own judgement."""

    text: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do, until something happens or this time comes."""

    until: datetime | None = None


Act = Hold | Probe | Release
Decision = Act | Wait


def hold(terms: Terms, why: str, now: datetime, *, again: int = 0) -> Hold:
    """A hold that begins now, after so many failed probings."""
    for_s = terms.hold_s(again)
    return Hold(why, for_s, now + timedelta(seconds=for_s), again)


def by_nobody(instance: str, at: datetime) -> bool:
    """The hand where there is none."""
    return False


def begin(seen: BreakerView, now: datetime, *, by_hand: ByHand = by_nobody) -> Case:
    """The first look at a breaker: who is open has opened when it says."""
    openings = {
        one.id: min(one.since, now)
        for one in seen.instances
        if one.live
        and one.state is State.OPEN
        and one.since is not None
        and not by_hand(one.name, one.since)
    }
    return Case(began_at=min(openings.values(), default=now), openings=openings)


def observe(
    case: Case,
    before: BreakerView,
    steps: Sequence[tuple[datetime, InstanceView]],
    seen: BreakerView,
    now: datetime,
    *,
    by_hand: ByHand = by_nobody,
) -> Case:
    """The case after these steps, each one instance become this at that time; `seen` is the end of them."""
    was = {one.id: one.natural for one in before.instances}
    openings, probes, recovered = dict(case.openings), list(case.probes), list(case.recovered)
    reopened = case.reopened
    for at, after in steps:
        left = was.get(after.id, State.UNKNOWN)
        was[after.id] = after.natural
        # The instance's own time, for news may come late; `since` of a forced state is that of the force.
        said = after.since if after.state is State.OPEN else None
        opened_at = min(said or at, now)
        # A probe that fails after a hand's trip is evidence again.
        tripped = left is State.CLOSED and by_hand(after.name, opened_at)
        if after.natural is State.OPEN and left in _OPENS_FROM and not tripped:
            openings[after.id] = opened_at
            if after.name in probes or after.name in recovered:
                reopened = after.name
        elif after.natural is State.CLOSED:
            openings.pop(after.id, None)
            if after.name in probes:
                probes.remove(after.name)
                recovered.append(after.name)
    present = {one.id: one for one in seen.instances if one.live}
    for one in present.values():
        if one.natural is State.CLOSED and one.name in probes:
            probes.remove(one.name)
            recovered.append(one.name)
    kept = {
        id: at for id, at in openings.items() if id in present and present[id].natural in _DOUBTFUL
    }
    return msgspec.structs.replace(
        case,
        openings=kept,
        probes=tuple(probes),
        recovered=tuple(recovered),
        reopened=reopened,
    )


def is_over(case: Case, seen: BreakerView) -> bool:
    """Whether the breaker is closed: there is nothing left to remember."""
    return case.phase is Phase.WATCHING and not any(
        one.live and one.natural in _DOUBTFUL for one in seen.instances
    )


def decide(
    terms: Terms, case: Case, seen: BreakerView, reachable: Collection[int], now: datetime
) -> Decision:
    """What is to be done. `reachable` are the ids of instances that would hear of it."""
    live = [one for one in seen.instances if one.live]
    if case.phase is Phase.WATCHING:
        return _watch(terms, case, live, now)
    if not live:
        return Release("No live instance is left.")
    able = _candidates(terms, case, live, reachable)
    if case.phase is Phase.HOLDING:
        return _go_on(terms, case, live, able, now)
    return _probe(terms, case, live, able, reachable, now)


def after(case: Case, act: Act, now: datetime) -> Case:
    """The case once the act is done."""
    if isinstance(act, Release):
        return lapse(case)
    if isinstance(act, Probe):
        return msgspec.structs.replace(
            case, phase=Phase.PROBING, until=act.until, probes=act.probes
        )
    return msgspec.structs.replace(
        case,
        phase=Phase.HOLDING,
        until=act.until,
        again=act.again,
        tripped_at=case.tripped_at or now,
        probes=(),
        recovered=(),
        reopened=None,
    )


def lapse(case: Case) -> Case:
    """The case once its hold is gone, by whatever hand. What counted before counts no more."""
    return Case(began_at=case.began_at)


def _watch(terms: Terms, case: Case, live: Sequence[InstanceView], now: datetime) -> Decision:
    since = now - timedelta(seconds=terms.window)
    opened = sum(at >= since for at in case.openings.values())
    if opened < terms.threshold(len(live)):
        return Wait()
    return hold(terms, f"{opened} of {len(live)} instances opened within {terms.window} s", now)


def _go_on(
    terms: Terms,
    case: Case,
    live: Sequence[InstanceView],
    able: Sequence[InstanceView],
    now: datetime,
) -> Decision:
    if case.until is not None and now < case.until:
        return Wait(case.until)
    if not any(one.natural in _DOUBTFUL for one in live):
        return Release("No instance's own breaker is open any more.")
    if not able:
        return _again(terms, case, "No instance is connected to probe with", now)
    first = tuple(one.name for one in able[: min(terms.probes, terms.successes)])
    return Probe(_probing(first, case), now + timedelta(seconds=terms.probe_s), first)


def _probe(
    terms: Terms,
    case: Case,
    live: Sequence[InstanceView],
    able: Sequence[InstanceView],
    reachable: Collection[int],
    now: datetime,
) -> Decision:
    if case.reopened is not None:
        return _again(terms, case, f"{case.reopened} opened again", now)
    there = {one.name for one in live if one.id in reachable}
    going = tuple(name for name in case.probes if name in there)
    have = len(case.recovered)
    # Of a small fleet no more can recover than there are.
    needed = min(terms.successes, have + len(going) + len(able))
    if have and have >= needed:
        which = "instance has" if have == 1 else "instances have"
        return Release(f"{have} {which} recovered.")
    if not going and not able:
        return _again(terms, case, "No instance is connected to probe with", now)
    if case.until is None or now >= case.until:
        return _again(
            terms, case, f"No answer from {_names(case.probes)} in {terms.probe_s} s", now
        )
    lack = min(terms.probes, needed - have) - len(going)
    if lack <= 0 or not able:
        return Wait(case.until)
    probes = going + tuple(one.name for one in able[:lack])
    # Whoever takes a lost one's place has what is left of its time, so that coming and going has an end.
    is_progress = len(going) == len(case.probes)
    until = now + timedelta(seconds=terms.probe_s) if is_progress else case.until
    return Probe(_probing(probes, case), until, probes)


def _again(terms: Terms, case: Case, why: str, now: datetime) -> Hold:
    return hold(terms, why, now, again=case.again + 1)


def _probing(probes: Sequence[str], case: Case) -> str:
    done = f" {len(case.recovered)} recovered so far." if case.recovered else ""
    return f"Probing with {_names(probes)}: all others stay held open.{done}"


def _names(names: Sequence[str]) -> str:
    """A few of them: a reason has its bounds, and an override's scope has them all."""
    more = len(names) - NAMED_MOST
    return ", ".join(names[:NAMED_MOST]) + (f" and {more} more" if more > 0 else "")


def _candidates(
    terms: Terms, case: Case, live: Sequence[InstanceView], reachable: Collection[int]
) -> list[InstanceView]:
    """Who could be let through, in turn: those whose own breaker is open have something to prove. Which comes
    first is the same for whoever asks, and the next ones are first in the next round."""
    doubtful = [one for one in live if one.id in reachable and one.natural in _DOUBTFUL]
    doubtful.sort(key=lambda one: hashlib.sha256(f"{case.tripped_at}/{one.name}".encode()).digest())
    begun = case.again * min(terms.probes, terms.successes) % max(len(doubtful), 1)
    return sorted(
        (one for one in doubtful[begun:] + doubtful[:begun] if one.name not in case.excepted),
        key=lambda one: one.natural not in _UNWELL,
    )
