from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

from msgspec import Meta

from alerts.rules import RuleKind, rule_kinds
from alerts.spans import Seconds, span
from alerts.verdicts import QUIET, BreakerView, Firing, Quiet, Verdict


@rule_kinds.register
class OverrideAge(RuleKind, frozen=True, rename={"for_": "for"}):
    """Fires once an override has stood for a while, so that none is forgotten: above all those without an expiry.
    Resolves when it ends or is made anew."""

    kind = "override_age"
    whole = True
    previews = False
    for_: Annotated[Seconds, Meta(title="Stands for", description="Seconds since it was made.")]

    def judge(self, seen: BreakerView, now: datetime) -> Verdict:
        if seen.override is None:
            return QUIET
        due = seen.override.created_at + timedelta(seconds=self.for_)
        return Firing(f"overridden for {span(self.for_)}") if now >= due else Quiet(due)
