"""The kinds of rules: one module each. A kind decides and does nothing else."""

from __future__ import annotations

from datetime import datetime

from alerts.verdicts import BreakerView, InstanceView, Verdict, of_instances
from breakers.kinds import Kind, Kinds


class RuleKind(Kind, frozen=True):
    """A condition on a breaker; the fields of a kind are its params."""

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
        """For kinds that look at one live instance at a time; others define `judge`."""
        raise NotImplementedError


rule_kinds = Kinds(RuleKind, package="alerts.rules", group="panelboard.rules")
