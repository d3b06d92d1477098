"""Whether a control call may be made, from what it would touch alone. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

MAX_FORCED = "max_forced_percent"
"""The name of the guard, by which it is refused and by which its glass is broken."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """The limits on control in one environment; None: none."""

    max_forced_percent: int | None = None
    confirm: bool = False
    four_eyes_above: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceSeen:
    """A service's breakers by id: those with a live instance, and those that are forced."""

    name: str
    live: frozenset[int]
    forced: frozenset[int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Ground:
    """One environment as the call finds it: the breakers that it would touch, their services, and the breakers that
    the same hands have touched lately."""

    environment: str
    limits: Limits
    touching: frozenset[int]
    services: Sequence[ServiceSeen]
    touched: frozenset[int] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What a call would do to its breakers: force them, or (`forces` false) give them a command."""

    forces: bool
    confirm: str | None = None
    break_glass: str | None = None


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """The call must carry the name of this environment; several: they go one at a time."""

    environments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Forbidden:
    """A guard forbids it: so many of the service's breakers would be forced, and at most `most` may be."""

    guard: str
    environment: str
    service: str
    live: int
    most: int
    forced: int


@dataclass(frozen=True, slots=True)
class Leave:
    """It may be made; `broken` are the breakers for which a guard's glass is broken."""

    broken: Mapping[int, Forbidden] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NeedsAnother:
    """It takes effect when another person approves: so many breakers would be touched in 15 minutes."""

    environment: str
    touched: int
    above: int
    leave: Leave
    """What there would be then."""


Verdict = Unconfirmed | Forbidden | NeedsAnother | Leave


def judge(asked: Asked, grounds: Sequence[Ground]) -> Verdict:
    """The first thing that stands in the way, in the order: confirmation, guard, another person.

    Broken glass gets past its guard and past nothing else.
    """
    unconfirmed = [one.environment for one in grounds if one.limits.confirm]
    if unconfirmed and unconfirmed != [asked.confirm]:
        return Unconfirmed(tuple(unconfirmed))
    broken: dict[int, Forbidden] = {}
    for ground in grounds:
        for service in ground.services:
            forbidden = _forbidden(asked, ground, service)
            if forbidden is None:
                continue
            if asked.break_glass != forbidden.guard:
                return forbidden
            broken |= dict.fromkeys(sorted(ground.touching & service.live), forbidden)
    for ground in grounds:
        above, touched = ground.limits.four_eyes_above, ground.touched | ground.touching
        if above is not None and len(touched) > above:
            return NeedsAnother(ground.environment, len(touched), above, Leave(broken))
    return Leave(broken)


def most_forced(percent: int, live: int) -> int:
    """The percentage of so many breakers, rounded up."""
    return -(-live * percent // 100)


def _forbidden(asked: Asked, ground: Ground, service: ServiceSeen) -> Forbidden | None:
    percent = ground.limits.max_forced_percent
    if percent is None or not asked.forces:
        return None
    before = service.forced & service.live
    after = before | (ground.touching & service.live)
    most = most_forced(percent, len(service.live))
    # What holds a breaker otherwise that is held already adds nothing, even where there are too many.
    if len(after) <= most or after == before:
        return None
    return Forbidden(
        MAX_FORCED, ground.environment, service.name, len(service.live), most, len(after)
    )
