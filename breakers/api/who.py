"""Who asks, who did what, and which version answers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from django.http import StreamingHttpResponse
from ninja import Query, Router, Schema
from pydantic import Field

from breakers.api.auth import OPERATE, READ
from breakers.api.body import Instant
from breakers.api.shapes import Authed, Limit, Rows
from breakers.audit import audit_seen
from breakers.audit_read import AuditQuery, audit_lines, told_entry
from breakers.cursor import LIMIT_DEFAULT, page
from breakers.version import VERSION

Text = Annotated[str, Field(max_length=500)]
router = Router(tags=["access"])


class AuditFilter(Schema):
    """`actor`, `action` and `target` match by any part; `subject` is the id of what it was done to."""

    actor: Text = ""
    action: Text = ""
    target: Text = ""
    subject: Text = ""
    environment: Text = ""
    service: Text = ""
    request: Text = ""
    since: Instant | None = None
    until: Instant | None = None

    def query(self) -> AuditQuery:
        return AuditQuery(**self.dict())


@router.get("/audit", auth=OPERATE, response=Rows)
def get_audit(
    request: Authed, asked: Query[AuditFilter], limit: Limit = LIMIT_DEFAULT, cursor: str = ""
) -> Rows:
    """Who did what, when and why, newest first; a limited actor sees what lies within its limits. `request` is the
    `request_id` of a call: all that it did. One that begins with `pb-` was made here, of one call; any other was
    sent as `X-Request-ID`, perhaps by several callers: `actor` and the times tell them apart."""
    found, next_ = page(
        asked.query().narrow(audit_seen(request.auth)),
        order=[("at", datetime), ("id", int)],
        newest_first=True,
        limit=limit,
        cursor=cursor or None,
        query=asked.dict(),
    )
    return Rows(items=[told_entry(row) for row in found], next=next_)


@router.get("/audit/export", auth=OPERATE, response=str)
def get_audit_export(request: Authed, asked: Query[AuditFilter]) -> StreamingHttpResponse:
    """The same entries as NDJSON, all of them: streamed, newest first, without those that come meanwhile."""
    answer = StreamingHttpResponse(
        audit_lines(request.auth, asked.query()), content_type="application/x-ndjson"
    )
    answer["Content-Disposition"] = 'attachment; filename="audit.ndjson"'
    return answer


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


@router.get("/version", auth=READ, response=dict[str, str])
def get_version(request: Authed) -> dict[str, str]:
    """The version of the program and of its API."""
    return {"version": VERSION, "api": "1"}
