"""`/audit/`: who did what, when and why. Nothing in it can be changed, not even by us."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from breakers.access import Actor, require
from breakers.audit import audit_seen
from breakers.models import AuditEntry, Scope
from dashboard.pages import words
from dashboard.pages.frame import page, render_page

SHOWN_MOST = 200


@page
@require_safe
def audit_page(request: HttpRequest, actor: Actor) -> HttpResponse:
    require(actor, Scope.OPERATE)
    asked = {name: _text(request, name) for name in ("who", "did", "to")}
    rows = audit_seen(actor).filter(
        actor_name__icontains=asked["who"],
        # As it is shown: "create rule" is `create_rule`.
        action__icontains=asked["did"].replace(" ", "_"),
        subject__icontains=asked["to"],
    )
    entries = list(rows.order_by("-at", "-id")[:SHOWN_MOST])
    return render_page(
        request,
        actor,
        "audit/list.html",
        {
            "headline": _headline(entries, filtered=any(asked.values()), limited=actor.limited),
            "entries": entries,
            "asked": asked,
            "filtered": any(asked.values()),
            "actions": sorted({entry.action for entry in entries}),
            "shown_most": SHOWN_MOST,
        },
    )


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
