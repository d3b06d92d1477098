from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

from msgspec import Meta

from alerts.rules import RuleKind, Tells, rule_kinds
from alerts.spans import Seconds, span
from alerts.verdicts import HOLD, QUIET, CheckAt, Firing, InstanceView, Verdict
from breakers.states import State


@rule_kinds.register
class HalfOpenFor(RuleKind, frozen=True, rename={"for_": "for"}):
    """Fires once a breaker has been half open for a while: it probes, and neither closes nor opens."""

    kind = "half_open_for"
    tells = Tells.OPENING
    for_: Annotated[
        Seconds, Meta(title="Half open for", description="Seconds without another state.")
    ]

    def judge_instance(self, seen: InstanceView, now: datetime) -> Verdict:
        if seen.natural is not State.HALF_OPEN:
            return QUIET
        if seen.since is None:
            return HOLD
        due = seen.since + timedelta(seconds=self.for_)
        return Firing(f"half open for {span(self.for_)}") if now >= due else CheckAt(due)
