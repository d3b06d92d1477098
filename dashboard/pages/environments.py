"""`/environments/`: what may be done at once in each, set by admins."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from breakers.access import Actor, environments_for, require
from breakers.models import Environment, Scope
from dashboard.pages.frame import page, render_page


@page
@require_safe
def environments_page(request: HttpRequest, actor: Actor) -> HttpResponse:
    """`?edit=NAME` opens the form for one of them."""
    require(actor, Scope.ADMIN)
    found = list(environments_for(actor).order_by("name"))
    edit = request.GET.get("edit")
    return render_page(
        request,
        actor,
        "environments/list.html",
        {
            "headline": _headline(found),
            "found": found,
            "chosen": next((one for one in found if one.name == edit), None),
        },
    )


def _headline(found: list[Environment]) -> str:
    if not found:
        return "No environment yet."
    limited = [
        one.name
        for one in found
        if one.confirm or one.max_forced_percent is not None or one.four_eyes_above is not None
    ]
    if not limited:
        return "Operators may do everything at once, everywhere."
    return f"{len(limited)} of {len(found)} with limits: {', '.join(limited)}."
