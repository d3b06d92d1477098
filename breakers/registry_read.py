"""Reading the registry: instances of a breaker, instances, services and targets, within the actor's limits."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, Q

from breakers.access import Actor, breakers_for, instances_for, services_for
from breakers.cursor import page
from breakers.models import Breaker, BreakerInstance, Instance
from breakers.states import State
from breakers.wire import told_time

Page = tuple[list[dict[str, Any]], str | None]


def instances_of(breaker: Breaker, *, limit: int, cursor: str = "") -> Page:
    """The breaker inside each instance that is not retired, by name."""
    rows = BreakerInstance.objects.filter(breaker=breaker, instance__retired_at=None)
    found, following = page(
        rows.select_related("instance"),
        order=[("id", int)],
        newest_first=True,
        limit=limit,
        cursor=cursor or None,
        query={"breaker": breaker.pk},
    )
    return [_inside(row, breaker.revision) for row in found], following


def _inside(row: BreakerInstance, revision: int) -> dict[str, Any]:
    instance = row.instance
    refused = row.refused_revision is not None and row.refused_revision > row.applied_revision
    return {
        "instance": instance.name,
        "state": row.state if instance.lost_at is None else State.UNKNOWN.value,
        "natural_state": row.natural_state,
        "since": told_time(row.since),
        "not_closed_since": told_time(row.not_closed_since),
        "last_seen": told_time(instance.last_seen),
        "connected": instance.connected,
        "lost_at": told_time(instance.lost_at),
        "clock_behind": instance.clock_behind_s,
        "revision": revision,
        "applied_revision": row.applied_revision,
        "apply_error": row.refused_error if refused else None,
        "last_refusal": None
        if row.refused_revision is None
        else {
            "revision": row.refused_revision,
            "error": row.refused_error,
            "at": told_time(row.refused_at),
        },
        "cause": row.cause,
        "reason": row.reason,
        "detail": row.detail,
        "library": row.library,
        "labels": {**instance.labels, **row.labels},
        "metrics": row.metrics,
        "config": row.config,
    }


def instances_seen(actor: Actor, *, limit: int, cursor: str = "") -> Page:
    """Instances that are not retired, newest first."""
    rows = instances_for(actor).filter(retired_at=None)
    found, following = page(
        rows.annotate(breakers=Count("breaker_instances")),
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


def targets_seen(actor: Actor) -> list[dict[str, Any]]:
    """What breakers guard, per environment, with the number of breakers on each; at most 1,000."""
    rows = (
        breakers_for(actor)
        .exclude(target=None)
        .values_list("service__environment__name", "target")
        .annotate(breakers=Count("id"))
        .order_by("service__environment__name", "target")[:1000]
    )
    return [
        {"environment": environment, "target": target, "breakers": count}
        for environment, target, count in rows
    ]
