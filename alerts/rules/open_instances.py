from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from alerts.rules import RuleKind, Tells, rule_kinds
from alerts.spans import IN_PERCENT
from alerts.verdicts import HOLD, QUIET, BreakerView, Firing, Verdict
from breakers.states import State


@rule_kinds.register
class OpenInstances(RuleKind, frozen=True):
    """Fires once a breaker is open in so many of its live instances, as a count or as a percentage."""

    kind = "open_instances"
    tells = Tells.OPENING
    whole = True
    count: (
        Annotated[int, Meta(ge=1, title="Instances", description="At least so many are open.")]
        | None
    ) = None
    percent: (
        Annotated[
            float,
            Meta(
                gt=0,
                le=100,
                title="Percent of instances",
                description="At least this share of the live ones is open. Either this or a count.",
                extra=IN_PERCENT,
            ),
        ]
        | None
    ) = None

    def problems(self) -> list[tuple[str, str]]:
        if (self.count is None) == (self.percent is None):
            return [("count", "give either a count or a percentage")]
        return []

    def judge(self, seen: BreakerView, now: datetime) -> Verdict:
        live = [one for one in seen.instances if one.live]
        if not live:
            return HOLD
        opened = frozenset(one.id for one in live if one.natural is State.OPEN)
        if self._enough(len(opened), len(live)):
            return Firing(f"open in {self._said}", opened)
        # A probe may fail: what fires for it goes on.
        probing = sum(one.natural is State.HALF_OPEN for one in live)
        return HOLD if self._enough(len(opened) + probing, len(live)) else QUIET

    def _enough(self, some: int, of: int) -> bool:
        if self.count is not None:
            return some >= self.count
        return some * 100 >= (self.percent or 100) * of

    @property
    def _said(self) -> str:
        if self.percent is not None:
            return f"{self.percent:g}% of instances or more"
        return "an instance" if self.count == 1 else f"{self.count} instances or more"
