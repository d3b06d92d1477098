"""From an actor to rules, channels and policies: a limited one sees those that act wholly within its limits."""

from __future__ import annotations

from typing import TypeVar

from django.db.models import QuerySet

from alerts.models import Channel, Policy, Rule
from breakers.access import Actor, require, row_id
from breakers.errors import NotFound
from breakers.models import Scope

Limited = TypeVar("Limited", Rule, Channel, Policy)


def _within(rows: QuerySet[Limited], actor: Actor) -> QuerySet[Limited]:
    if actor.environments is not None:
        rows = rows.filter(environments__contained_by=sorted(actor.environments))
    if actor.services is not None:
        rows = rows.filter(services__contained_by=sorted(actor.services))
    return rows


def rules_for(actor: Actor) -> QuerySet[Rule]:
    return _within(Rule.objects.filter(deleted_at=None), actor)


def channels_for(actor: Actor) -> QuerySet[Channel]:
    return _within(Channel.objects.filter(deleted_at=None), actor)


def policies_for(actor: Actor) -> QuerySet[Policy]:
    return _within(Policy.objects.filter(deleted_at=None), actor)


def rule_of(actor: Actor, scope: Scope, rule_id: str) -> Rule:
    """Raises Forbidden before any look-up, then NotFound."""
    require(actor, scope)
    rule = rules_for(actor).filter(pk=row_id(rule_id)).first()
    if rule is None:
        raise NotFound("No such rule.")
    return rule


def channel_of(actor: Actor, scope: Scope, channel_id: str) -> Channel:
    """Raises Forbidden before any look-up, then NotFound."""
    require(actor, scope)
    channel = channels_for(actor).filter(pk=row_id(channel_id)).first()
    if channel is None:
        raise NotFound("No such channel.")
    return channel


def policy_of(actor: Actor, scope: Scope, policy_id: str) -> Policy:
    """Raises Forbidden before any look-up, then NotFound."""
    require(actor, scope)
    policy = policies_for(actor).filter(pk=row_id(policy_id)).first()
    if policy is None:
        raise NotFound("No such policy.")
    return policy
