from __future__ import annotations

from datetime import datetime

from alerts.rules import RuleKind, rule_kinds
from alerts.verdicts import HOLD, QUIET, Firing, InstanceView, Verdict
from breakers.states import State

_OPENED = Firing("opened")


@rule_kinds.register
class Opened(RuleKind, frozen=True):
    """Fires once a breaker opens in any instance; resolves when none is open or half open any more."""

    kind = "opened"

    def judge_instance(self, seen: InstanceView, now: datetime) -> Verdict:
        if seen.natural is State.OPEN:
            return _OPENED
        # Half open is the library's own question whether it is over.
        return HOLD if seen.natural is State.HALF_OPEN else QUIET
