"""Views for rules to judge, naming only what a test is about."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import Any

import msgspec

from alerts.verdicts import BreakerView, InstanceView, OverrideView
from breakers.states import State

T0 = datetime(2026, 1, 1, 12, tzinfo=UTC)
_ids = itertools.count(1)


def instance(
    state: str = "closed",
    *,
    natural: str | None = None,
    live: bool = True,
    name: str = "a",
    **more: Any,
) -> InstanceView:
    """`more` are further fields of the view."""
    view = InstanceView(
        id=next(_ids),
        name=name,
        labels={},
        state=State(state),
        natural=State(natural or state),
        since=T0,
        live=live,
        outage_since=T0 if (natural or state) in ("open", "half_open") else None,
    )
    return msgspec.structs.replace(view, **more)


def override(**fields: Any) -> OverrideView:
    """One of revision 1 that was made at T0 and has no end, unless told otherwise."""
    told: dict[str, Any] = {"revision": 1, "mode": "forced_open", "created_at": T0}
    return OverrideView(**(told | fields))


def view(*instances: InstanceView, override: OverrideView | None = None) -> BreakerView:
    return BreakerView(1, "prod", "orders", "catalog", "catalog", instances, override)
