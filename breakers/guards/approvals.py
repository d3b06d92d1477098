"""Calls that wait for another person: asked for, seen, rejected. Approving one is in `approve`."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from breakers.access import Actor, require, row_id
from breakers.audit import record
from breakers.errors import Conflict, NotFound
from breakers.guards.calls import Kept
from breakers.guards.judge import NeedsAnother
from breakers.guards.look import Sight, show_again
from breakers.guards.words import another_words
from breakers.live.publish import announce_changed
from breakers.models import Approval, ApprovalStatus, Breaker, Scope

WITHIN = timedelta(minutes=15)
WAITING_MAX = 100
"""Of one person and their keys: nobody reads more in a quarter of an hour."""


def approvals_for(actor: Actor) -> QuerySet[Approval]:
    """Those that lie wholly within the actor's limits."""
    rows = Approval.objects.all()
    if actor.environments is not None:
        rows = rows.filter(environments__contained_by=sorted(actor.environments))
    return (
        rows
        if actor.services is None
        else rows.filter(services__contained_by=sorted(actor.services))
    )


def waiting(rows: QuerySet[Approval], now: datetime) -> QuerySet[Approval]:
    return rows.filter(status=ApprovalStatus.PENDING, expires_at__gt=now)


def approval_to_operate(actor: Actor, approval_id: str) -> Approval:
    """Raises Forbidden before any look-up, then NotFound."""
    require(actor, Scope.OPERATE)
    approval = approvals_for(actor).filter(pk=row_id(approval_id)).first()
    if approval is None:
        raise NotFound("No such approval.")
    return approval


def status_of(approval: Approval, now: datetime) -> str:
    """As people see it: one that nobody decided in time has expired."""
    if approval.status == ApprovalStatus.PENDING and approval.expires_at <= now:
        return "expired"
    return str(approval.status)


def may_approve(actor: Actor, approval: Approval) -> bool:
    """Another person's word alone counts: not a key's, and not that of whoever asked, by whatever key."""
    return actor.kind == "person" and actor.person != approval.by_person


def ask_approval(
    kept: Kept, sight: Sight, verdict: NeedsAnother, *, by: Actor, now: datetime
) -> Approval:
    """A call that waits from now on; the same call said again is the one that waits already. The caller holds the
    locks under which it was judged. Raises Conflict where too many wait."""
    said = kept.to_json()
    mine = waiting(_of(by), now)
    # By the same person's other key it is another call: what a revoked one asked for is never done.
    again = mine.filter(call=said, basis=sight.basis, by_kind=by.kind, by_id=by.id).first()
    if again is not None:
        return again
    if mine.count() >= WAITING_MAX:
        raise Conflict(f"{WAITING_MAX} calls of yours wait for approval already.")
    approval = Approval.objects.create(
        call=said,
        basis=sight.basis,
        environments=sight.environments,
        services=sight.services,
        breakers=[one.id for one in sight.breakers],
        reason=kept.call.reason,
        why=another_words(verdict)[:500],
        by_kind=by.kind,
        by_id=by.id,
        by_name=by.name,
        by_person=by.person,
        created_at=now,
        expires_at=now + WITHIN,
    )
    record_on_approval(by, "ask_approval", approval, reason=approval.reason, after=said)
    tell(approval)
    return approval


def _of(by: Actor) -> QuerySet[Approval]:
    if by.person is not None:
        return Approval.objects.filter(by_person=by.person)
    return Approval.objects.filter(by_person=None, by_kind=by.kind, by_id=by.id)


def reject_approval(approval_id: int, *, by: Actor, note: str, now: datetime) -> Approval:
    """It takes no effect; whoever asked may take it back so, too. Raises Conflict where it waits no more."""
    with transaction.atomic():
        approval = held(approval_id, now=now)
        close(approval, ApprovalStatus.REJECTED, by=by, note=note, now=now)
        record_on_approval(by, "reject", approval, reason=note, before=approval.call)
    return approval


def held(approval_id: int, *, now: datetime) -> Approval:
    """Locked, and still waiting. Raises Conflict where it waits no more."""
    approval = Approval.objects.select_for_update(no_key=True).get(pk=approval_id)
    status = status_of(approval, now)
    if status != ApprovalStatus.PENDING:
        by = f" by {approval.decided_by}" if approval.decided_by else ""
        raise Conflict(f"It waits no more: {status}{by}.")
    return approval


def close(
    approval: Approval, status: ApprovalStatus, *, by: Actor, note: str, now: datetime
) -> None:
    """Writes down what became of a held one."""
    approval.status, approval.note = status, note
    approval.decided_at, approval.decided_by = now, by.name
    approval.save(update_fields=["status", "note", "decided_at", "decided_by"])
    tell(approval)


def tell(approval: Approval) -> None:
    """Pages that show its breakers look again."""
    breakers = approval.breakers
    show_again(breakers)
    transaction.on_commit(lambda: announce_changed(breakers))


def record_on_approval(
    by: Actor, action: str, approval: Approval, *, reason: str, **what: Any
) -> None:
    """An entry about an approval, within the limits of whoever sees all that it touches."""
    one = len(approval.environments) == 1
    record(
        by,
        action,
        kind="approval",
        id=approval.pk,
        subject=_subject(approval),
        reason=reason,
        environment=approval.environments[0] if one else None,
        service=approval.services[0] if one and len(approval.services) == 1 else None,
        **what,
    )


def _subject(approval: Approval) -> str:
    """The breaker, said as entries about breakers say it, or how many."""
    count = len(approval.breakers)
    name = f"{count} breakers"
    if count == 1:
        # One that was removed while it waited has no name any more.
        found = Breaker.objects.filter(pk__in=approval.breakers).values_list("name", flat=True)
        name = found.first() or "1 breaker"
    return f"{', '.join(approval.environments)} / {', '.join(approval.services)} / {name}"
