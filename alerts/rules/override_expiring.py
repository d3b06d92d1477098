from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

from msgspec import Meta

from alerts.rules import RuleKind, rule_kinds
from alerts.spans import Seconds, span
from alerts.verdicts import QUIET, BreakerView, Firing, Quiet, Verdict


@rule_kinds.register
class OverrideExpiring(RuleKind, frozen=True):
    """Fires while an override of somebody's is about to end by itself. Resolves when it has ended, or ends later.
    Those of policies end or go on without anybody."""

    kind = "override_expiring"
    whole = True
    previews = False
    within: Annotated[
        Seconds, Meta(title="Within", description="Seconds before its end in which it fires.")
    ]

    def judge(self, seen: BreakerView, now: datetime) -> Verdict:
        override = seen.override
        if override is None or override.expires_at is None or override.by_policy:
            return QUIET
        due = override.expires_at - timedelta(seconds=self.within)
        if now < due:
            return Quiet(due)
        return Firing(f"overridden for less than {span(self.within)} more")
