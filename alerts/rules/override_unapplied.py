from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

from msgspec import Meta

from alerts.rules import RuleKind, rule_kinds
from alerts.spans import Seconds, span
from alerts.verdicts import HOLD, QUIET, BreakerView, CheckAt, Firing, Verdict


@rule_kinds.register
class OverrideUnapplied(RuleKind, frozen=True, rename={"for_": "for"}):
    """Fires once a live instance has not applied an override that is for it within a while, be it that it refused
    or that it says nothing. Time counts from the override, and for an instance that came later from then."""

    kind = "override_unapplied"
    whole = True
    previews = False
    for_: Annotated[Seconds, Meta(title="Not applied for", description="Seconds.")]

    def judge(self, seen: BreakerView, now: datetime) -> Verdict:
        override = seen.override
        if override is None:
            return QUIET
        live = [one for one in seen.instances if one.live]
        pending = {
            one.id: max(override.created_at, one.heard_since or override.created_at)
            + timedelta(seconds=self.for_)
            for one in live
            if override.includes(one.name) and one.applied < override.revision
        }
        if not pending:
            return QUIET if live else HOLD
        late = frozenset(id for id, due in pending.items() if due <= now)
        further = min((due for due in pending.values() if due > now), default=None)
        if late:
            return Firing(f"with an override not applied for {span(self.for_)}", late, further)
        assert further is not None
        return CheckAt(further)
