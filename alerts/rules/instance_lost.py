from __future__ import annotations

from datetime import datetime

from alerts.rules import RuleKind, rule_kinds
from alerts.verdicts import HOLD, QUIET, BreakerView, Firing, Verdict


@rule_kinds.register
class InstanceLost(RuleKind, frozen=True):
    """Fires once an instance has been silent for a minute without a goodbye. Resolves when it is back or retired."""

    kind = "instance_lost"

    def judge(self, seen: BreakerView, now: datetime) -> Verdict:
        if not seen.instances:
            return HOLD
        lost = frozenset(one.id for one in seen.instances if one.lost)
        return Firing("lost with its instance", lost) if lost else QUIET
