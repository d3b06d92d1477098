"""Approving: another person's word, and then the call takes effect if nothing has changed meanwhile."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from breakers.access import Actor, actor_of_key, actor_of_person, breakers_for
from breakers.errors import CallError, Forbidden
from breakers.guards.approvals import close, held, may_approve, record_on_approval
from breakers.guards.calls import Kept
from breakers.guards.leave import done, judged, permitted
from breakers.guards.look import lock_caller, look
from breakers.models import ApiKey, Approval, ApprovalStatus, Person, Scope


class Outdated(Exception):
    """What it was asked for has changed."""


def approve(approval_id: int, *, by: Actor, note: str, now: datetime) -> Approval:
    """The approval as it was decided: `approved`, and the call is done in the name of who asked; or `outdated`, with
    why in `note`, and nothing is done.

    Raises Forbidden for a key and for whoever asked, by whatever key; Conflict where it waits no more.
    """
    with transaction.atomic():
        approval = held(approval_id, now=now)
        if not may_approve(by, approval):
            raise Forbidden(
                "Another person approves it: not a key, nor whoever asked, by whatever key."
            )
        try:
            with transaction.atomic():
                _take_effect(approval, approved_by=by.name, now=now)
        except Outdated as problem:
            close(approval, ApprovalStatus.OUTDATED, by=by, note=str(problem)[:2000], now=now)
            record_on_approval(by, "outdate", approval, reason=note, before=approval.call)
        else:
            close(approval, ApprovalStatus.APPROVED, by=by, note=note, now=now)
            record_on_approval(
                by, "approve", approval, reason=note or approval.reason, after=approval.call
            )
    return approval


def _take_effect(approval: Approval, *, approved_by: str, now: datetime) -> None:
    """Under the locks that the call itself would take. Raises Outdated."""
    asker = _asker(approval)
    kept = Kept.of(approval.call)
    lock_caller(asker, kept.call.breakers)
    sight = look(kept.call.breakers, by=asker, now=now)
    if sight.basis != approval.basis:
        raise Outdated(
            "What it would touch has changed since it was asked for: its breakers, their instances or revisions, "
            "or the limits of the environment."
        )
    try:
        leave = permitted(judged(kept, sight))
        done(kept.call, leave, by=asker, now=now, approved_by=approved_by)
    except CallError as problem:
        raise Outdated(f"It cannot be done any more. {problem.detail}") from problem


def _asker(approval: Approval) -> Actor:
    """Whoever asked, with what they may do by now. Raises Outdated where they may not do this any more."""
    actor = _actor(approval)
    if actor is not None and Scope.OPERATE in actor.can:
        within = breakers_for(actor).filter(pk__in=approval.breakers).count()
        if within == len(approval.breakers):
            return actor
    raise Outdated(f"{approval.by_name} may not do this any more.")


def _actor(approval: Approval) -> Actor | None:
    if approval.by_kind == "person":
        person = Person.objects.filter(pk=approval.by_id, is_active=True).first()
        return None if person is None else actor_of_person(person)
    keys = ApiKey.objects.select_related("environment")
    key = keys.filter(pk=approval.by_id, revoked_at=None).first()
    return None if key is None else actor_of_key(key)
