from __future__ import annotations

from datetime import datetime

from alerts.rules import RuleKind, Tells, rule_kinds
from alerts.verdicts import HOLD, QUIET, Firing, InstanceView, Verdict
from breakers.states import State

_OPENED = Firing("opened")
_HELD = {
    State.FORCED_OPEN: Firing("opened naturally while forced open"),
    State.FORCED_CLOSED: Firing("opened naturally while forced closed"),
}


@rule_kinds.register
class Opened(RuleKind, frozen=True):
    """Fires once a breaker opens in any instance; resolves when none is open or half open any more.

    Under an override it goes by what the library itself would be, and says so.
    """

    kind = "opened"
    tells = Tells.OPENING

    def judge_instance(self, seen: InstanceView, now: datetime) -> Verdict:
        if seen.natural is State.OPEN:
            return _HELD.get(seen.state, _OPENED)
        # Half open is the library's own question whether it is over.
        return HOLD if seen.natural is State.HALF_OPEN else QUIET
