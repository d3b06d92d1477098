"""What a rule sees of a breaker, and what it can say. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import ClassVar

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


class Quiet(msgspec.Struct, frozen=True, gc=False):
    """All is well: what fires may resolve. Asked again at `again`, if that is set."""

    again: datetime | None = None


class Hold(msgspec.Struct, frozen=True, gc=False):
    """Neither firing nor well: what is, stays."""

    again: ClassVar[None] = None


QUIET, HOLD = Quiet(), Hold()


class CheckAt(msgspec.Struct, frozen=True, gc=False):
    """Neither yet; ask again at this time."""

    due: datetime

    @property
    def again(self) -> datetime:
        return self.due


class Firing(msgspec.Struct, frozen=True, gc=False):
    """The condition holds. `text` follows the breaker's name (“opened”); `by` are the instances that match.

    Asked again at `again`, if that is set: for what may end, or reach further, by time alone.
    """

    text: str
    by: frozenset[int] = frozenset()
    again: datetime | None = None


Verdict = Quiet | Hold | CheckAt | Firing
"""`again` of each is when it is to be asked again though nothing happens; None: not."""


def of_instances(said: Iterable[tuple[InstanceView, Verdict]]) -> Verdict:
    """One verdict from those on each live instance: firing before waiting before well.

    Without a live instance nobody says that it is well, so what is, stays.
    """
    said = said if isinstance(said, Collection) else tuple(said)
    # Made after every step: comprehensions take half as long as one loop that tells all apart.
    by = frozenset([one.id for one, verdict in said if isinstance(verdict, Firing)])
    agains = [verdict.again for _, verdict in said if verdict.again is not None]
    again = min(agains) if agains else None
    if by:
        return Firing(text_of(said), by, again)
    dues = [verdict.due for _, verdict in said if isinstance(verdict, CheckAt)]
    if dues:
        return CheckAt(min(dues))
    if not said or any(isinstance(verdict, Hold) for _, verdict in said):
        return HOLD
    return QUIET if again is None else Quiet(again)


def text_of(said: Iterable[tuple[InstanceView, Verdict]]) -> str:
    """Of those that fire, one that is what it would be says more than one that an override holds."""
    text: str | None = None
    for instance, verdict in said:
        if isinstance(verdict, Firing):
            if instance.state is instance.natural:
                return verdict.text
            text = verdict.text if text is None else text
    assert text is not None
    return text
