"""Making a control call: judged and done in one transaction, under the locks of all that it would touch.

Locks are taken in one order: whose word it is, services, breakers. Two calls at once of the same person, or one
call in many pieces, therefore see each other; releases ask nobody and wait for no caller.
"""

from __future__ import annotations

from datetime import datetime
from typing import TypeVar, cast

from django.db import transaction

from breakers.access import Actor
from breakers.audit import OnBreaker, record_on_breakers
from breakers.desired.permit import Permit
from breakers.errors import FieldError, GuardForbids, Invalid
from breakers.guards.approvals import ask_approval
from breakers.guards.calls import AnyCall, By, Call, Kept
from breakers.guards.judge import (
    Asked,
    Forbidden,
    Leave,
    NeedsAnother,
    Unconfirmed,
    Verdict,
    judge,
)
from breakers.guards.look import Sight, lock_caller, look
from breakers.guards.words import forbidden_words, unconfirmed_words
from breakers.models import Approval, Breaker

GUARDED = ("person", "key")
"""Whose calls are guarded; what acts by itself has caps of its own."""
Done = TypeVar("Done")


def make_call(
    call: Call[Done],
    *,
    by: Actor,
    now: datetime,
    confirm: str | None = None,
    break_glass: str | None = None,
) -> Done | Approval:
    """Does it, or keeps it for another person to approve: then it could be done now, and nothing is done yet.

    Raises Invalid at `confirm` where the environment's name is wanted, GuardForbids, and whatever the verb does.
    """
    if by.kind not in GUARDED:
        with transaction.atomic():
            return call.perform(By(actor=by, now=now))
    kept = Kept(call=cast("AnyCall", call), confirm=confirm, break_glass=break_glass)
    with transaction.atomic():
        lock_caller(by, call.breakers)
        sight = look(call.breakers, by=by, now=now)
        verdict = judged(kept, sight)
        leave = permitted(verdict)
        if not isinstance(verdict, NeedsAnother):
            return done(call, leave, by=by, now=now)
        with (
            transaction.atomic()
        ):  # what cannot be done is refused now, and not once it is approved
            done(call, leave, by=by, now=now)
            transaction.set_rollback(True)
        return ask_approval(kept, sight, verdict, by=by, now=now)


def judged(kept: Kept, sight: Sight) -> Verdict:
    return judge(
        Asked(forces=kept.call.forces, confirm=kept.confirm, break_glass=kept.break_glass),
        sight.grounds,
    )


def permitted(verdict: Verdict) -> Leave:
    """By what leave it may be made, another person's being there. Raises Invalid or GuardForbids where it may not."""
    match verdict:
        case Unconfirmed():
            raise Invalid([FieldError(("confirm",), unconfirmed_words(verdict))])
        case Forbidden():
            raise GuardForbids(forbidden_words(verdict), guard=verdict.guard)
        case NeedsAnother():
            return verdict.leave
        case Leave():
            return verdict


def done(
    call: Call[Done], leave: Leave, *, by: Actor, now: datetime, approved_by: str | None = None
) -> Done:
    """Does it by this leave; each broken guard stands in the audit log beside what was done."""
    broke = {id: broken.guard for id, broken in leave.broken.items()}
    permit = Permit(broke=broke, approved_by=approved_by)
    made = call.perform(By(actor=by, now=now, permit=permit))
    rows = Breaker.objects.select_related("service__environment").in_bulk(list(leave.broken))
    record_on_breakers(
        by,
        "break_glass",
        [
            OnBreaker(
                rows[id],
                call.reason,
                before=None,
                after={"guard": broken.guard, "forced": broken.forced, "at_most": broken.most},
            )
            for id, broken in sorted(leave.broken.items())
        ],
    )
    return made
