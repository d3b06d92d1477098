from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from alerts.rules import RuleKind, Tells, rule_kinds
from alerts.sentences import some
from alerts.verdicts import HOLD, QUIET, BreakerView, Firing, Match, Verdict


@rule_kinds.register
class InstanceLost(RuleKind, frozen=True):
    """Fires once an instance has been silent for a minute without a goodbye. Resolves when it is back or retired."""

    kind = "instance_lost"
    tells = Tells.MATCHES

    def judge(self, seen: BreakerView, now: datetime) -> Verdict:
        if not seen.instances:
            return HOLD
        lost = frozenset(one.id for one in seen.instances if one.lost)
        return Firing("lost with its instance", lost) if lost else QUIET

    def tell(self, matches: Sequence[Match]) -> str:
        said = [f"{one.view.name}, last seen {one.last_seen:%H:%M:%S} UTC" for one in matches]
        return f"Lost: {some(said)}"
