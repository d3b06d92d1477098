from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated

from msgspec import Meta

from alerts.rules import RuleKind, Tells, rule_kinds
from alerts.sentences import cut, some, words
from alerts.spans import Seconds, span
from alerts.verdicts import (
    HOLD,
    QUIET,
    BreakerView,
    CheckAt,
    Firing,
    InstanceView,
    Match,
    OverrideView,
    Verdict,
)

_ERROR_MOST = 200


@rule_kinds.register
class OverrideUnapplied(RuleKind, frozen=True, rename={"for_": "for"}):
    """Fires once a live instance has not put an override that is for it into effect within a while: it refused, it
    says nothing, or it confirmed and is something else. Time counts from the override, for an instance that came
    later from then, and for one that left what it was held to from that."""

    kind = "override_unapplied"
    tells = Tells.MATCHES
    whole = True
    previews = False
    for_: Annotated[Seconds, Meta(title="Not applied for", description="Seconds.")]

    def judge(self, seen: BreakerView, now: datetime) -> Verdict:
        override = seen.override
        if override is None:
            return QUIET
        live = [one for one in seen.instances if one.live]
        pending = {
            one.id: since + timedelta(seconds=self.for_)
            for one in live
            if override.includes(one.name) and (since := _disobeys_since(one, override))
        }
        if not pending:
            return QUIET if live else HOLD
        late = frozenset(id for id, due in pending.items() if due <= now)
        further = min((due for due in pending.values() if due > now), default=None)
        if late:
            return Firing(f"with an override not applied for {span(self.for_)}", late, further)
        assert further is not None
        return CheckAt(further)

    def tell(self, matches: Sequence[Match]) -> str:
        return f"Not applied by {some([_why(one) for one in matches])}"


def _why(one: Match) -> str:
    """As the breaker's page says it."""
    name = one.view.name
    if one.is_deaf:
        return f"{name}, which is known by its events alone and cannot obey"
    if one.override is not None and one.view.applied < one.override.revision:
        if one.refused is None or one.refused < one.override.revision:
            return f"{name}, which has not answered"
        return f"{name}, which refused revision {one.refused}: {cut(one.error, _ERROR_MOST)}"
    return f"{name}, which confirmed it and is {words(one.view.state)}"


def _disobeys_since(one: InstanceView, override: OverrideView) -> datetime | None:
    """None: it is as wished."""
    if one.applied < override.revision:
        since = one.heard_since
    elif one.state.value != override.mode:
        since = one.since
    else:
        return None
    return max(override.created_at, since or override.created_at)
