"""Control calls that wait for another person."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from django.utils import timezone
from ninja import Router, Schema
from pydantic import StringConstraints

from breakers.api.auth import OPERATE
from breakers.api.body import Body
from breakers.api.shapes import ApprovalOut, Authed, Limit, storable
from breakers.cursor import LIMIT_DEFAULT, page
from breakers.errors import Conflict, FieldError, Invalid
from breakers.guards.approvals import approval_to_operate, approvals_for, reject_approval, waiting
from breakers.guards.approve import approve
from breakers.models import ApprovalStatus

router = Router(tags=["approvals"])
_EXPIRED = "expired"


class DecisionIn(Body):
    """Why, for the audit log; may be left out."""

    reason: Annotated[str, StringConstraints(strip_whitespace=True, max_length=2000)] = ""


class ApprovalPage(Schema):
    items: list[ApprovalOut]
    next: str | None


@router.get("/approvals", auth=OPERATE, response=ApprovalPage)
def get_approvals(
    request: Authed, status: str = "", limit: Limit = LIMIT_DEFAULT, cursor: str = ""
) -> ApprovalPage:
    """Calls that needed another person, newest first; `status` is one of pending, approved, rejected, outdated and
    expired."""
    now = timezone.now()
    rows = approvals_for(request.auth)
    if status == ApprovalStatus.PENDING:
        rows = waiting(rows, now)
    elif status == _EXPIRED:
        rows = rows.filter(status=ApprovalStatus.PENDING, expires_at__lte=now)
    elif status in ApprovalStatus.values:
        rows = rows.filter(status=status)
    elif status:
        known = ", ".join([*ApprovalStatus.values, _EXPIRED])
        raise Invalid([FieldError(("status",), f"must be one of {known}")])
    found, next_ = page(
        rows,
        order=[("created_at", datetime), ("id", int)],
        newest_first=True,
        limit=limit,
        cursor=cursor or None,
        query={"list": "approvals", "status": status},
    )
    return ApprovalPage(items=[ApprovalOut.of(row, now, request.auth) for row in found], next=next_)


@router.get("/approvals/{approval_id}", auth=OPERATE, response=ApprovalOut)
def get_approval(request: Authed, approval_id: str) -> ApprovalOut:
    """One call, and what became of it."""
    approval = approval_to_operate(request.auth, approval_id)
    return ApprovalOut.of(approval, timezone.now(), request.auth)


@router.post("/approvals/{approval_id}/approve", auth=OPERATE, response=ApprovalOut)
def post_approve(request: Authed, approval_id: str, body: DecisionIn | None = None) -> ApprovalOut:
    """The call takes effect now, in the name of who asked. Only another person may, never a key; 409 where it waits
    no more, or where what it was asked for has changed meanwhile."""
    approval = approval_to_operate(request.auth, approval_id)
    now = timezone.now()
    decided = approve(approval.pk, by=request.auth, note=_reason(body), now=now)
    if decided.status == ApprovalStatus.OUTDATED:
        raise Conflict(decided.note)
    return ApprovalOut.of(decided, now, request.auth)


@router.post("/approvals/{approval_id}/reject", auth=OPERATE, response=ApprovalOut)
def post_reject(request: Authed, approval_id: str, body: DecisionIn | None = None) -> ApprovalOut:
    """The call never takes effect. Whoever asked may take it back by this, too."""
    approval = approval_to_operate(request.auth, approval_id)
    now = timezone.now()
    rejected = reject_approval(approval.pk, by=request.auth, note=_reason(body), now=now)
    return ApprovalOut.of(rejected, now, request.auth)


def _reason(body: DecisionIn | None) -> str:
    reason = body.reason if body else ""
    storable(("reason",), reason)
    return reason
