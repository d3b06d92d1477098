"""What a rule sees of a breaker, and what it can say. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec

from breakers.states import State


class Sample(msgspec.Struct, frozen=True, gc=False):
    """What was reported of the calls through a breaker instance; rates in percent, None: unknown."""

    at: datetime
    failure_rate: float | None = None
    slow_rate: float | None = None
    not_permitted_rate: float | None = None
    """Of the calls that were tried, those that the breaker refused."""


class OverrideView(msgspec.Struct, frozen=True, gc=False):
    """The override that stands on a breaker."""

    revision: int
    mode: str
    created_at: datetime
    expires_at: datetime | None = None
    instances: tuple[str, ...] | None = None
    excepted: tuple[str, ...] = ()
    by_policy: bool = False

    def includes(self, instance: str) -> bool:
        """Whether it is for the instance of this name."""
        inside = self.instances is None or instance in self.instances
        return inside and instance not in self.excepted


class InstanceView(msgspec.Struct, frozen=True, gc=False):
    """A breaker inside one instance."""

    id: int
    name: str
    labels: Mapping[str, str]
    """Its own and its instance's, with the built-in ones of `alerts.labels`."""
    state: State
    natural: State
    """What the library itself is (or would be): `natural_state` where known, else the state."""
    since: datetime | None
    """The beginning of what `natural` is; None: not known."""
    live: bool
    """Neither lost nor retired, and its state is known."""
    lost: bool = False
    outage_since: datetime | None = None
    """Since when `natural` is open, failed probes included; None where it is neither open nor half open."""
    applied: int = 0
    """The last revision that it has put into effect."""
    heard_since: datetime | None = None
    """The beginning of its agent's session; None: it has none."""
    trips: tuple[datetime, ...] = ()
    """When it left closed, in order; loaded for kinds that ask for it."""
    samples: tuple[Sample, ...] = ()
    """In order; loaded for kinds that ask for it, and only where the newest could matter to a rule."""


class Match(msgspec.Struct, frozen=True, gc=False):
    """An instance that a rule matches, with what a message may tell of it."""

    view: InstanceView
    override: OverrideView | None
    last_seen: datetime
    refused: int | None = None
    """The last revision that it refused, with its `error`."""
    error: str = ""
    is_deaf: bool = False
    """Known by its events alone: it hears of no override."""


class BreakerView(msgspec.Struct, frozen=True, gc=False):
    """A breaker with those of its instances that a rule is about."""

    id: int
    environment: str
    service: str
    breaker: str
    target: str | None
    instances: tuple[InstanceView, ...]
    override: OverrideView | None = None
    broken: str | None = None
    """How the override that stands got past a guard (“forced open by ada past …”); None: none stands that did."""

    def with_instance(self, changed: InstanceView) -> BreakerView:
        """The same with one instance replaced."""
        kept = [changed if one.id == changed.id else one for one in self.instances]
        return msgspec.structs.replace(self, instances=tuple(kept))


@dataclass(frozen=True, slots=True)
class Quiet:
    """All is well: what fires may resolve. Asked again at `again`, if that is set."""

    again: datetime | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """Neither firing nor well: what is, stays."""


QUIET, HOLD = Quiet(), Hold()


@dataclass(frozen=True, slots=True)
class CheckAt:
    """Neither yet; ask again at this time."""

    due: datetime


@dataclass(frozen=True, slots=True)
class Firing:
    """The condition holds. `text` follows the breaker's name (“opened”); `by` are the instances that match.

    Asked again at `again`, if that is set: for what may end, or reach further, by time alone.
    """

    text: str
    by: frozenset[int] = frozenset()
    again: datetime | None = None


Verdict = Quiet | Hold | CheckAt | Firing


def asked_again(verdict: Verdict) -> datetime | None:
    """When it is to be asked again though nothing happens; None: not."""
    if isinstance(verdict, CheckAt):
        return verdict.due
    return None if isinstance(verdict, Hold) else verdict.again


def of_instances(verdicts: Iterable[tuple[InstanceView, Verdict]]) -> Verdict:
    """One verdict from those on each live instance: firing before waiting before well.

    Without a live instance nobody says that it is well, so what is, stays.
    """
    firing: list[tuple[InstanceView, Firing]] = []
    dues: list[datetime] = []
    agains: list[datetime] = []
    held = quiet = False
    # By type and not by pattern: this is asked of every instance at every step.
    for instance, verdict in verdicts:
        if isinstance(verdict, Quiet):
            quiet = True
            if verdict.again is not None:
                agains.append(verdict.again)
        elif isinstance(verdict, Firing):
            firing.append((instance, verdict))
            if verdict.again is not None:
                agains.append(verdict.again)
        elif isinstance(verdict, Hold):
            held = True
        else:
            dues.append(verdict.due)
    if firing:
        # One that is what it would be says more than one that an override holds.
        _, said = min(firing, key=lambda one: one[0].state is not one[0].natural)
        by = frozenset([instance.id for instance, _ in firing])
        return Firing(said.text, by, min(agains + dues, default=None))
    if dues:
        return CheckAt(min(dues))
    if held or not quiet:
        return HOLD
    return Quiet(min(agains)) if agains else QUIET
