"""`/audit/`: who did what, when and why. Nothing in it can be changed, not even by us."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from breakers.access import Actor, require
from breakers.audit import audit_seen
from breakers.audit_read import AuditQuery
from breakers.models import AuditEntry, Scope
from dashboard.pages import words
from dashboard.pages.frame import page, render_page

SHOWN_MOST = 200


@page
@require_safe
def audit_page(request: HttpRequest, actor: Actor) -> HttpResponse:
    require(actor, Scope.OPERATE)
    asked = {name: _text(request, name) for name in ("who", "did", "to")}
    times = {name: _text(request, name) for name in ("since", "until")}
    query = AuditQuery(
        actor=asked["who"],
        action=asked["did"],
        target=asked["to"],
        since=_instant(times["since"]),
        until=_instant(times["until"]),
    )
    entries = list(query.narrow(audit_seen(actor)).order_by("-at", "-id")[:SHOWN_MOST])
    filtered = any(asked.values()) or any(times.values())
    return render_page(
        request,
        actor,
        "audit/list.html",
        {
            "headline": _headline(entries, filtered=filtered, limited=actor.limited),
            "entries": entries,
            "asked": asked | times,
            "filtered": filtered,
            "export": _export(query),
            "actions": sorted({entry.action for entry in entries}),
            "shown_most": SHOWN_MOST,
        },
    )


def _instant(text: str) -> datetime | None:
    """What a field for a time says, in UTC; None for what is no time."""
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        return None


def _export(query: AuditQuery) -> str:
    """Where all that matches is to be had."""
    said = {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in asdict(query).items()
        if value
    }
    return f"/api/v1/audit/export?{urlencode(said)}".rstrip("?")


def _text(request: HttpRequest, name: str) -> str:
    """PostgreSQL knows no text with a NUL in it."""
    return request.GET.get(name, "").replace("\0", "").strip()


def _headline(entries: list[AuditEntry], *, filtered: bool, limited: bool) -> str:
    if not entries:
        if filtered:
            return "Nothing like that was done."
        return "Nothing that you may see was done." if limited else "Nobody has done anything yet."
    last = entries[0]
    ago = words.ago((timezone.now() - last.at).total_seconds())
    return f"Last: {last.actor_name}, {words.state_word(last.action)}, {ago}."
