"""Factories: `make_breaker(state="open")` names only what a test is about."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import connection
from django.utils import timezone

from alerts.models import Channel, Policy, Rule
from breakers.access import Actor, actor_of_command
from breakers.keys import create_api_key
from breakers.models import (
    ApiKey,
    Breaker,
    BreakerInstance,
    Environment,
    Event,
    Instance,
    OutboxRow,
    Scope,
    Service,
)
from breakers.outbox import OutboxStep, steps_as_text
from breakers.states import State

_numbers = itertools.count(1)


def make_actor(
    *,
    can: Sequence[Scope] = (Scope.READ, Scope.OPERATE, Scope.ADMIN),
    environments: Sequence[str] | None = None,
    services: Sequence[str] | None = None,
    name: str = "ada",
) -> Actor:
    return Actor(
        kind="person",
        id=1,
        name=name,
        can=frozenset(can),
        environments=None if environments is None else frozenset(environments),
        services=None if services is None else frozenset(services),
    )


def make_key(*, scopes: Sequence[str], name: str = "k", **limits: Any) -> tuple[ApiKey, str]:
    """A key and its text; the limits are those of `create_api_key`."""
    return create_api_key(name=name, scopes=scopes, by=actor_of_command("tests"), **limits)


def make_service(name: str = "orders", *, environment: str = "prod") -> Service:
    owner, _ = Environment.objects.get_or_create(name=environment)
    return Service.objects.get_or_create(environment=owner, name=name)[0]


def make_breaker(
    name: str | None = None,
    *,
    state: str = "closed",
    service: str = "orders",
    environment: str = "prod",
    target: str | None = "catalog",
    instances: Sequence[str] = ("default",),
    labels: dict[str, str] | None = None,
) -> Breaker:
    """A breaker that is `state` in all of its instances, with nothing waiting to be judged."""
    owner = make_service(service, environment=environment)
    breaker = Breaker.objects.create(
        service=owner, name=name or f"breaker-{next(_numbers)}", target=target
    )
    for instance in instances:
        make_instance(breaker, instance, state=state, labels=labels)
    return breaker


def make_instance(
    breaker: Breaker,
    name: str = "default",
    *,
    state: str = "closed",
    natural_state: str | None = None,
    labels: dict[str, str] | None = None,
) -> BreakerInstance:
    instance, _ = Instance.objects.get_or_create(service=breaker.service, name=name)
    return BreakerInstance.objects.create(
        breaker=breaker,
        instance=instance,
        state=state,
        natural_state=natural_state,
        since=timezone.now(),
        labels=labels or {},
    )


def happens(
    breaker: Breaker,
    state: str,
    *,
    instance: str = "default",
    natural_state: str | None = None,
    late: bool = False,
    at: datetime | None = None,
) -> OutboxRow:
    """A state change as ingest commits it: the state moves, and a row waits to be judged."""
    held = BreakerInstance.objects.select_related("instance").get(
        breaker=breaker, instance__name=instance
    )
    before, before_natural = held.state, held.natural_state
    if not late:
        held.state, held.natural_state, held.since = state, natural_state, at or timezone.now()
        held.save(update_fields=["state", "natural_state", "since"])
    step = OutboxStep(
        place=0,
        instance_id=held.instance_id,
        before=State(before),
        before_natural=State(before_natural) if before_natural else None,
        state=State(held.state),
        natural=State(held.natural_state) if held.natural_state else None,
        since=held.since,
    )
    return OutboxRow.objects.create(
        breaker_id=breaker.pk,
        steps=steps_as_text([] if late else [step]),
        **({} if at is None else {"committed_at": at}),
    )


def make_event(
    breaker: Breaker,
    to: str,
    *,
    before: str | None = None,
    instance: str = "default",
    at: datetime,
    received_at: datetime | None = None,
    cause: str = "automatic",
    detail: str | None = None,
    metrics: dict[str, Any] | None = None,
    **more: Any,
) -> Event:
    """A state change in history alone: it moves no state."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT ensure_partition('event', date_trunc('week', %s, 'UTC'))", [at])
    held = Instance.objects.get(service=breaker.service, name=instance)
    return Event.objects.create(
        service_id=breaker.service_id,
        event_id=f"event-{next(_numbers):06}",
        occurred_at=at,
        received_at=received_at or at,
        breaker_id=breaker.pk,
        instance_id=held.pk,
        type="state_change",
        from_state=before,
        to_state=to,
        cause=cause,
        detail=detail,
        metrics=metrics,
        **more,
        origin="agent",
    )


def make_channel(
    name: str | None = None,
    *,
    kind: str = "email",
    config: dict[str, Any] | None = None,
    enabled: bool = True,
) -> Channel:
    """A channel as a row; `config` may name secrets in the clear, as callers of the API do."""
    from alerts.channel_changes import create_channel

    if config is None:
        config = {"to": ["ops@example.com"]}
    channel, _ = create_channel(
        name=name or f"channel-{next(_numbers)}",
        kind=kind,
        config=config,
        enabled=enabled,
        by=make_actor(),
    )
    return channel


def make_rule(
    name: str | None = None,
    *,
    kind: str = "opened",
    params: dict[str, Any] | None = None,
    matchers: Sequence[str] = (),
    severity: str = "critical",
    channels: Sequence[Channel] = (),
    group_by: Sequence[str] = ("target",),
    clear_for: int = 0,
    enabled: bool = True,
    dry_run: bool = False,
) -> Rule:
    """A rule as a row, without judging what is there already."""
    rule = Rule.objects.create(
        name=name or f"rule-{next(_numbers)}",
        kind=kind,
        params=params or {},
        matchers=list(matchers),
        severity=severity,
        group_by=list(group_by),
        clear_for=clear_for,
        enabled=enabled,
        dry_run=dry_run,
    )
    rule.channels.set(channels)
    return rule


def make_policy(
    name: str = "fleet",
    *,
    mode: str = "enforce",
    count: int | None = None,
    percent: float | None = None,
    by: Actor | None = None,
    **fields: Any,
) -> Policy:
    """A policy as callers of the API make it; by default two open instances of any breaker are enough."""
    from alerts.api.policies import PolicyIn
    from alerts.policy_changes import create_policy

    trip = {
        "count": 2 if count is None and percent is None else count,
        "percent": percent,
        "min_instances": fields.pop("min_instances", 2),
        "window": fields.pop("window", 60),
    }
    said = PolicyIn(name=name, mode=mode, trip=trip, **fields)
    return create_policy(said.wish(), by=by or make_actor(), now=timezone.now())
