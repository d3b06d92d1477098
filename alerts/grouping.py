"""Which breakers share an incident. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from typing import NamedTuple

from alerts.models import GroupLabel
from alerts.verdicts import BreakerView, InstanceView

_ENCODE = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


class Group(NamedTuple):
    """A rule's incident for this group is the one with this key."""

    key: str
    target: str | None


def group_of(
    group_by: Collection[str], seen: BreakerView, instance: InstanceView | None = None
) -> Group:
    """The group of a breaker, or of one instance of it. The environment always divides."""
    values: list[object] = [seen.environment]
    if GroupLabel.TARGET in group_by:
        # Without a target a breaker stands for itself: what guards nothing known shares no cause.
        values.append(["target", seen.target] if seen.target else ["breaker", seen.id])
    if GroupLabel.SERVICE in group_by:
        values.append(["service", seen.service])
    if GroupLabel.BREAKER in group_by:
        values.append(["name", seen.breaker])
    if GroupLabel.INSTANCE in group_by and instance is not None:
        values.append(["instance", instance.name])
    return Group(hashlib.sha256(_ENCODE(values).encode()).hexdigest(), seen.target)


def subjects_of(
    group_by: Collection[str], instances: Sequence[InstanceView]
) -> list[tuple[int, tuple[InstanceView, ...]]]:
    """What is judged as one: all matching instances together (0), or each by itself (its id)."""
    if GroupLabel.INSTANCE in group_by:
        return [(one.id, (one,)) for one in instances]
    return [(0, tuple(instances))] if instances else []
