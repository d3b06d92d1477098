"""What a rule sees of a breaker, and what it can say. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec

from breakers.states import State


class InstanceView(msgspec.Struct, frozen=True, gc=False):
    """A breaker inside one instance."""

    id: int
    name: str
    labels: Mapping[str, str]
    """Its own and its instance's, with `service`, `environment`, `breaker`, `target`, `instance`."""
    state: State
    natural: State
    """What the library itself is (or would be): `natural_state` where known, else the state."""
    since: datetime | None
    live: bool
    """Neither lost nor retired, and its state is known."""


class BreakerView(msgspec.Struct, frozen=True, gc=False):
    """A breaker with those of its instances that a rule is about."""

    id: int
    environment: str
    service: str
    breaker: str
    target: str | None
    instances: tuple[InstanceView, ...]

    def with_instance(self, changed: InstanceView) -> BreakerView:
        """The same with one instance replaced."""
        kept = [changed if one.id == changed.id else one for one in self.instances]
        return msgspec.structs.replace(self, instances=tuple(kept))


@dataclass(frozen=True, slots=True)
class Quiet:
    """All is well: what fires may resolve."""


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
    """The condition holds. `text` follows the breaker's name (“opened”); `by` are the instances that match."""

    text: str
    by: frozenset[int] = frozenset()


Verdict = Quiet | Hold | CheckAt | Firing


def of_instances(verdicts: Iterable[tuple[InstanceView, Verdict]]) -> Verdict:
    """One verdict from those on each live instance: firing before waiting before well.

    Without a live instance nobody says that it is well, so what is, stays.
    """
    firing: list[tuple[InstanceView, Firing]] = []
    dues: list[datetime] = []
    held = quiet = False
    # By type and not by pattern: this is asked of every instance at every step.
    for instance, verdict in verdicts:
        if isinstance(verdict, Quiet):
            quiet = True
        elif isinstance(verdict, Firing):
            firing.append((instance, verdict))
        elif isinstance(verdict, Hold):
            held = True
        else:
            dues.append(verdict.due)
    if firing:
        return Firing(firing[0][1].text, frozenset([instance.id for instance, _ in firing]))
    if dues:
        return CheckAt(min(dues))
    return QUIET if quiet and not held else HOLD
