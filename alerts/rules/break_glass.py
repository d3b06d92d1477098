from __future__ import annotations

from datetime import datetime

from alerts.rules import RuleKind, rule_kinds
from alerts.verdicts import QUIET, BreakerView, Firing, Verdict


@rule_kinds.register
class BreakGlass(RuleKind, frozen=True):
    """Fires once a breaker is forced past a guard (`break_glass`); resolves when no such override holds it any more."""

    kind = "break_glass"
    whole = True
    previews = False

    def judge(self, seen: BreakerView, now: datetime) -> Verdict:
        # An override ends whether or not an instance is left to say so.
        return QUIET if seen.broken is None else Firing(seen.broken)
