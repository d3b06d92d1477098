"""What hands did to a breaker, newest first: who, when and why, out of the audit log, for whoever sees the breaker."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from breakers.cursor import page
from breakers.models import AuditEntry, Breaker
from breakers.wire import told_time

ACTS = (
    "override",
    "release",
    "expire",
    "plan_override",
    "start_override",
    "cancel_override",
    "miss_override",
    "trip",
    "reset",
)
_TOLD = (
    "mode",
    "revision",
    "instances",
    "except",
    "starts_at",
    "expires_at",
    "approved_by",
    "broke",
)


def acts_on(
    breaker: Breaker, *, limit: int, cursor: str = ""
) -> tuple[list[dict[str, Any]], str | None]:
    """A page of acts and the next cursor. Addresses and the like are left to the audit log."""
    found, following = page(
        AuditEntry.objects.filter(
            subject_kind="breaker", subject_id=str(breaker.pk), action__in=ACTS
        ),
        order=[("at", datetime), ("id", int)],
        newest_first=True,
        limit=limit,
        cursor=cursor or None,
        query={"acts": breaker.pk},
    )
    return [_told(entry) for entry in found], following


def _told(entry: AuditEntry) -> dict[str, Any]:
    """What it made, or where it made nothing, what it ended."""
    about = entry.after or entry.before or {}
    return {
        "id": str(entry.pk),
        "at": told_time(entry.at),
        "act": entry.action,
        "by": entry.actor_name,
        "by_kind": entry.actor_kind,
        "reason": entry.reason,
        **{name: about.get(name) for name in _TOLD},
    }
