"""Reading the registry: instances of a breaker, instances, services and targets, within the actor's limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, F, Min, Q

from breakers.access import Actor, breakers_for, instances_for, services_for
from breakers.cursor import page
from breakers.desired.drift import Drift, Standing, drift_of
from breakers.models import Breaker, BreakerInstance, Instance, Override
from breakers.states import Mode, State
from breakers.wire import told_time

Page = tuple[list[dict[str, Any]], str | None]


def instances_of(breaker: Breaker, *, limit: int, cursor: str = "") -> Page:
    """The breaker inside each instance that is not retired, by name."""
    rows = BreakerInstance.objects.there().filter(breaker=breaker)
    found, following = page(
        rows.select_related("instance"),
        order=[("id", int)],
        newest_first=True,
        limit=limit,
        cursor=cursor or None,
        query={"breaker": breaker.pk},
    )
    wish = _wish_of(breaker)
    return [_inside(row, wish) for row in found], following


@dataclass(frozen=True, slots=True)
class _Wish:
    """What is wished of a breaker now, and since when."""

    revision: int
    override: Override | None
    at: datetime | None

    def mode_for(self, instance: str) -> Mode | None:
        one = self.override
        if one is None or instance in one.excepted:
            return None
        return Mode(one.mode) if one.instances is None or instance in one.instances else None


def _wish_of(breaker: Breaker) -> _Wish:
    newest = breaker.overrides.order_by("-revision").first()
    command = breaker.commands.order_by("-revision").first()
    times = [command.created_at] if command else []
    if newest is not None:
        times.append(newest.ended_at or newest.created_at)
    standing = newest if newest is not None and newest.ended_at is None else None
    return _Wish(breaker.revision, standing, max(times, default=None))


def _drift(row: BreakerInstance, wish: _Wish) -> Drift | None:
    instance = row.instance
    return drift_of(
        Standing(
            state=State.UNKNOWN if instance.lost_at else State(row.state),
            since=row.since,
            is_agent=instance.connected is not None,
            wanted=wish.mode_for(instance.name),
            revision=wish.revision,
            wished_at=wish.at,
            session_since=instance.session_since,
            applied=row.applied_revision,
            refused=row.refused_revision,
            refused_at=row.refused_at,
        )
    )


def _inside(row: BreakerInstance, wish: _Wish) -> dict[str, Any]:
    instance = row.instance
    drift = _drift(row, wish)
    refused = row.refused_revision is not None and row.refused_revision > row.applied_revision
    return {
        "instance": instance.name,
        "state": row.state if instance.lost_at is None else State.UNKNOWN.value,
        "natural_state": row.natural_state,
        "since": told_time(row.since),
        "not_closed_since": told_time(row.not_closed_since),
        "probe_due_at": told_time(row.probe_due_at) if instance.lost_at is None else None,
        "last_seen": told_time(instance.last_seen),
        "connected": instance.connected,
        "lost_at": told_time(instance.lost_at),
        "clock_behind": instance.clock_behind_s,
        "wanted": wish.mode_for(instance.name),
        "revision": wish.revision,
        "applied_revision": row.applied_revision,
        "applied_at": told_time(row.applied_at),
        "apply_error": row.refused_error if refused else None,
        "last_refusal": None
        if row.refused_revision is None
        else {
            "revision": row.refused_revision,
            "error": row.refused_error,
            "at": told_time(row.refused_at),
        },
        "drift": None
        if drift is None
        else {"kind": drift.kind.value, "since": told_time(drift.since)},
        "cause": row.cause,
        "reason": row.reason,
        "detail": row.detail,
        "library": row.library,
        "labels": {**instance.labels, **row.labels},
        "metrics": row.metrics,
        "config": row.config,
    }


def deaf_instances(breaker: Breaker) -> list[str]:
    """The instances that are known by events alone, by name: what is wished of the breaker never reaches them."""
    rows = BreakerInstance.objects.there().filter(breaker=breaker, instance__connected=None)
    return list(rows.order_by("instance__name").values_list("instance__name", flat=True))


def not_known(named: Mapping[int, Sequence[str]]) -> dict[int, list[str]]:
    """Of the names said for each breaker (by id), those that no instance of it bears, but for retired ones.
    An override may be for instances to come, so only its author can tell such a name from a mistyped one."""
    names = {name for said in named.values() for name in said}
    if not names:
        return {breaker: [] for breaker in named}
    rows = BreakerInstance.objects.there().filter(breaker__in=named, instance__name__in=names)
    known = set(rows.values_list("breaker_id", "instance__name"))
    return {
        breaker: sorted(name for name in set(said) if (breaker, name) not in known)
        for breaker, said in named.items()
    }


def instances_seen(actor: Actor, *, limit: int, cursor: str = "") -> Page:
    """Instances that are not retired, newest first."""
    rows = instances_for(actor).filter(retired_at=None)
    found, following = page(
        rows.annotate(
            breakers=Count("breaker_instances", filter=Q(breaker_instances__left_at=None))
        ),
        order=[("id", int)],
        newest_first=True,
        limit=limit,
        cursor=cursor or None,
        query={"list": "instances"},
    )
    return [_instance(row) for row in found], following


def _instance(row: Instance) -> dict[str, Any]:
    return {
        "id": str(row.pk),
        "environment": row.service.environment.name,
        "service": row.service.name,
        "instance": row.name,
        "boot": row.boot,
        "agent": {"name": row.agent_name, "version": row.agent_version},
        "labels": row.labels,
        "connected": row.connected,
        "created_at": told_time(row.created_at),
        "last_seen": told_time(row.last_seen),
        "lost_at": told_time(row.lost_at),
        "clock_behind": row.clock_behind_s,
        "breakers": getattr(row, "breakers", 0),
    }


def services_seen(actor: Actor, *, limit: int, cursor: str = "") -> Page:
    """Services, newest first, with their numbers of breakers and of instances not retired."""
    rows = services_for(actor).select_related("environment")
    found, following = page(
        rows.annotate(
            breaker_count=Count("breakers", distinct=True),
            instance_count=Count("instances", distinct=True, filter=Q(instances__retired_at=None)),
        ),
        order=[("id", int)],
        newest_first=True,
        limit=limit,
        cursor=cursor or None,
        query={"list": "services"},
    )
    items = [
        {
            "id": str(row.pk),
            "environment": row.environment.name,
            "service": row.name,
            "breakers": getattr(row, "breaker_count", 0),
            "instances": getattr(row, "instance_count", 0),
            "created_at": told_time(row.created_at),
        }
        for row in found
    ]
    return items, following


def targets_seen(actor: Actor, *, limit: int, cursor: str = "") -> Page:
    """What breakers guard, per environment, with the number of breakers on each; the one guarded last first."""
    rows: Any = (
        breakers_for(actor)
        .exclude(target=None)
        .values("target", environment=F("service__environment__name"))
        .annotate(first=Min("id"), held=Count("id"))
        .values_list("environment", "target", "first", "held", named=True)
    )
    found, following = page(
        rows,
        order=[("first", int)],
        newest_first=True,
        limit=limit,
        cursor=cursor or None,
        query={"list": "targets"},
    )
    items = [
        {"environment": row.environment, "target": row.target, "breakers": row.held}
        for row in found
    ]
    return items, following
