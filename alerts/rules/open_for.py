from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

from msgspec import Meta

from alerts.rules import RuleKind, Tells, rule_kinds
from alerts.spans import Seconds, span
from alerts.verdicts import HOLD, QUIET, CheckAt, Firing, InstanceView, Verdict
from breakers.states import State


@rule_kinds.register
class OpenFor(RuleKind, frozen=True, rename={"for_": "for"}):
    """Fires once a breaker has been open for a while; a probe that fails does not start it anew."""

    kind = "open_for"
    tells = Tells.OPENING
    for_: Annotated[Seconds, Meta(title="Open for", description="Seconds since it opened.")]

    def judge_instance(self, seen: InstanceView, now: datetime) -> Verdict:
        if seen.natural not in (State.OPEN, State.HALF_OPEN):
            return QUIET
        if seen.natural is State.HALF_OPEN or seen.outage_since is None:
            return HOLD
        due = seen.outage_since + timedelta(seconds=self.for_)
        return Firing(f"open for {span(self.for_)}") if now >= due else CheckAt(due)
