"""`/audit/`: who did what, when and why. Nothing in it can be changed, not even by us."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from breakers.access import Actor, require
from breakers.models import AuditEntry, Scope
from dashboard.pages import words
from dashboard.pages.frame import page, render_page

SHOWN_MOST = 200


@page
@require_safe
def audit_page(request: HttpRequest, actor: Actor) -> HttpResponse:
    require(actor, Scope.OPERATE)
    rows = AuditEntry.objects.all()
    if actor.environments is not None:
        rows = rows.filter(environment__in=actor.environments)
    if actor.services is not None:
        rows = rows.filter(service__in=actor.services)
    text = request.GET.get("who", "")
    if text:
        rows = rows.filter(actor_name__icontains=text.replace("\0", ""))
    entries = list(rows.order_by("-at", "-id")[:SHOWN_MOST])
    return render_page(
        request,
        actor,
        "audit/list.html",
        {"headline": _headline(entries), "entries": entries, "who": text, "shown_most": SHOWN_MOST},
    )


def _headline(entries: list[AuditEntry]) -> str:
    if not entries:
        return "Nobody has done anything yet."
    last = entries[0]
    ago = words.ago((timezone.now() - last.at).total_seconds())
    return f"Last: {last.actor_name}, {last.action.replace('_', ' ').replace('.', ' ')}, {ago}."
