"""Views for rules to judge, naming only what a test is about."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

from alerts.verdicts import BreakerView, InstanceView
from breakers.states import State

T0 = datetime(2026, 1, 1, 12, tzinfo=UTC)
_ids = itertools.count(1)


def instance(
    state: str = "closed", *, natural: str | None = None, live: bool = True, name: str = "a"
) -> InstanceView:
    return InstanceView(
        id=next(_ids),
        name=name,
        labels={},
        state=State(state),
        natural=State(natural or state),
        since=T0,
        live=live,
    )


def view(*instances: InstanceView) -> BreakerView:
    return BreakerView(1, "prod", "orders", "catalog", "catalog", instances)
