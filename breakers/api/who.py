"""Who asks, who did what, and which version answers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from ninja import Router

from breakers import access
from breakers.api.shapes import Authed, Limit, Rows
from breakers.audit import audit_seen
from breakers.cursor import LIMIT_DEFAULT, page
from breakers.models import AuditEntry, Scope
from breakers.version import VERSION
from breakers.wire import told_time

router = Router(tags=["access"])


@router.get("/audit", response=Rows)
def get_audit(
    request: Authed,
    environment: str = "",
    service: str = "",
    action: str = "",
    actor: str = "",
    subject: str = "",
    limit: Limit = LIMIT_DEFAULT,
    cursor: str = "",
) -> Rows:
    """Who did what, when and why, newest first; a limited actor sees what lies within its limits."""
    access.require(request.auth, Scope.OPERATE)
    query = {
        "environment": environment,
        "service": service,
        "action": action,
        "actor_name": actor,
        "subject_id": subject,
    }
    rows = audit_seen(request.auth).filter(
        **{name: value for name, value in query.items() if value}
    )
    found, next_ = page(
        rows,
        order=[("at", datetime), ("id", int)],
        newest_first=True,
        limit=limit,
        cursor=cursor or None,
        query=query,
    )
    return Rows(items=[_entry(row) for row in found], next=next_)


def _entry(row: AuditEntry) -> dict[str, Any]:
    return {
        "id": str(row.pk),
        "at": told_time(row.at),
        "actor": {"kind": row.actor_kind, "id": str(row.actor_id or ""), "name": row.actor_name},
        "action": row.action,
        "environment": row.environment,
        "service": row.service,
        "subject": {"kind": row.subject_kind, "id": row.subject_id, "name": row.subject},
        "reason": row.reason,
        "before": row.before,
        "after": row.after,
        "address": row.address,
        "request_id": row.request_id,
    }


@router.get("/me", response=dict[str, Any])
def get_me(request: Authed) -> dict[str, Any]:
    """Who asks, what it may do, and within which limits (null: none)."""
    actor = request.auth
    return {
        "kind": actor.kind,
        "id": str(actor.id),
        "name": actor.name,
        "can": sorted(actor.can),
        "environments": _sorted(actor.environments),
        "services": _sorted(actor.services),
    }


def _sorted(names: frozenset[str] | None) -> Sequence[str] | None:
    return None if names is None else sorted(names)


@router.get("/version", response=dict[str, str])
def get_version(request: Authed) -> dict[str, str]:
    """The version of the program and of its API."""
    access.require(request.auth, Scope.READ)
    return {"version": VERSION, "api": "1"}
