"""The kinds of rules: one module each. A kind decides and does nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from alerts.verdicts import BreakerView, InstanceView, Match, Sample, Verdict, of_instances
from breakers.kinds import Kind, Kinds


class Need(StrEnum):
    """What is read from history for those kinds alone that ask for it."""

    TRIPS = "trips"
    SAMPLES = "samples"


class Tells(StrEnum):
    """What a message adds to how the breakers stand."""

    NOTHING = "nothing"
    OPENING = "opening"
    """Why each opened, out of history."""
    MATCHES = "matches"
    """What `tell` says of the instances that match."""


class RuleKind(Kind, frozen=True):
    """A condition on a breaker; the fields of a kind are its params, with `title` and `description` for people."""

    whole = False
    """Judges the breaker as one, though a rule be grouped by instance, and also where no instance is there."""
    previews: ClassVar[bool] = True
    """Whether history keeps all that it looks at, so that it can be tried on a past span."""
    tells: ClassVar[Tells] = Tells.NOTHING
    needs: ClassVar[frozenset[Need]] = frozenset()
    """What it wants to see of each instance beside its state."""

    @property
    def is_by_instance(self) -> bool:
        """Whether it judges instances by themselves, and what it says of one stands until that changes. Not where it
        needs history: of that it sees all, what is later too."""
        return type(self).judge is RuleKind.judge and not self.needs

    @property
    def reaches_back_s(self) -> int:
        """How far back, in seconds, it looks at what it needs."""
        return 0

    def is_moved_by(self, sample: Sample) -> bool:
        """Whether it could say anything but that all is well, this being the newest sample."""
        return False

    def judge(self, seen: BreakerView, now: datetime) -> Verdict:
        """What this rule says of the breaker, from what is seen alone: replay and preview use it too."""
        return of_instances(
            [
                (instance, self.judge_instance(instance, now))
                for instance in seen.instances
                if instance.live
            ]
        )

    def judge_instance(self, seen: InstanceView, now: datetime) -> Verdict:
        """For kinds that look at one live instance at a time; others define `judge`. What it says stands until the
        instance changes, or until the time that it names."""
        raise NotImplementedError

    def tell(self, matches: Sequence[Match]) -> str:
        """A sentence on the instances that match, by name; for kinds that tell of matches."""
        raise NotImplementedError


rule_kinds = Kinds(RuleKind, package="alerts.rules", group="panelboard.rules")
