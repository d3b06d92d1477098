from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

from msgspec import Meta

from alerts.rules import Need, RuleKind, Tells, rule_kinds
from alerts.spans import IN_SECONDS, span
from alerts.verdicts import QUIET, Firing, InstanceView, Verdict


@rule_kinds.register
class Flapping(RuleKind, frozen=True):
    """Fires once a breaker trips again and again in one instance. A trip is one leaving of closed by itself: failed
    probes are none, nor is what a hand or an override does. Resolves when fewer trips than that lie within the window."""

    kind = "flapping"
    tells = Tells.OPENING
    needs = frozenset({Need.TRIPS})
    trips: Annotated[
        int, Meta(ge=2, le=1000, title="Trips", description="At least so many, in one instance.")
    ]
    window: Annotated[
        int,
        Meta(
            ge=1,
            le=86_400,
            title="Within",
            description="Seconds, at most a day.",
            extra=IN_SECONDS,
        ),
    ]

    @property
    def reaches_back_s(self) -> int:
        return self.window

    def judge_instance(self, seen: InstanceView, now: datetime) -> Verdict:
        window = timedelta(seconds=self.window)
        recent = [at for at in seen.trips if now - window < at <= now]
        if len(recent) < self.trips:
            return QUIET
        # From then on too few are left.
        over = recent[-self.trips] + window
        return Firing(f"tripped {self.trips} times in {span(self.window)}", again=over)
