"""Reading the audit log: narrowed by who, what, to what and when, as a page of it or as a stream of all of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from asgiref.sync import sync_to_async
from django.db.models import Q, QuerySet

from breakers.access import Actor
from breakers.audit import audit_seen
from breakers.models import AuditEntry
from breakers.wire import told_time

_AT_ONCE = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditQuery:
    """What is asked for; empty texts and None narrow nothing. `actor`, `action` and `target` (in words, or its whole
    id) match by any part and ignore case; the others match whole. `since` ≤ t < `until`."""

    actor: str = ""
    action: str = ""
    target: str = ""
    subject: str = ""
    environment: str = ""
    service: str = ""
    request: str = ""
    since: datetime | None = None
    until: datetime | None = None

    def narrow(self, rows: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        # Actions are shown with spaces: "create rule" is `create_rule`.
        rows = rows.filter(
            actor_name__icontains=self.actor, action__icontains=self.action.replace(" ", "_")
        )
        if self.target:
            rows = rows.filter(Q(subject__icontains=self.target) | Q(subject_id=self.target))
        whole = {
            "subject_id": self.subject,
            "environment": self.environment,
            "service": self.service,
            "request_id": self.request,
            "at__gte": self.since,
            "at__lt": self.until,
        }
        return rows.filter(**{name: value for name, value in whole.items() if value})


def told_entry(row: AuditEntry) -> dict[str, Any]:
    """An entry as JSON."""
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


async def audit_lines(actor: Actor, query: AuditQuery) -> AsyncIterator[bytes]:
    """All that the actor may see of it as NDJSON, newest first, a few hundred entries in memory at a time.

    Entries that come meanwhile are not in it. Each portion is a query of its own, so that a slow reader holds
    no connection.
    """
    rows = query.narrow(audit_seen(actor)).order_by("-at", "-id")
    after: tuple[datetime, int] | None = None
    while True:
        found = await sync_to_async(_portion)(rows, after)
        if found:
            yield b"".join(msgspec.json.encode(told_entry(row)) + b"\n" for row in found)
        if len(found) < _AT_ONCE:
            return
        after = found[-1].at, found[-1].pk


def _portion(rows: QuerySet[AuditEntry], after: tuple[datetime, int] | None) -> list[AuditEntry]:
    if after is not None:
        at, id = after
        rows = rows.filter(Q(at__lt=at) | Q(at=at, pk__lt=id), at__lte=at)
    return list(rows[:_AT_ONCE])
