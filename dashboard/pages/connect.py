"""`/connect/`: from nothing to the first breaker on the board, with the newcomer's own key."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_http_methods

from breakers.access import Actor, require
from breakers.audit import record
from breakers.keys import create_api_key
from breakers.models import Scope
from dashboard.pages.frame import page, person_of, render_page

SCOPES = (Scope.INGEST, Scope.AGENT)
"""What a service needs to report and to obey; no more."""


@page
@require_http_methods(["GET", "HEAD", "POST"])
def connect_page(request: HttpRequest, actor: Actor) -> HttpResponse:
    text = ""
    if request.method == "POST":
        require(actor, Scope.ADMIN)
        key, text = create_api_key(
            name=f"first key of {actor.name}", scopes=SCOPES, by=person_of(request)
        )
        record(
            actor,
            "key.create",
            kind="key",
            id=key.pk,
            subject=key.name,
            after={"scopes": key.scopes},
        )
    return render_page(
        request,
        actor,
        "connect/page.html",
        {"url": settings.PUBLIC_URL, "key": text, "placeholder": "YOUR-KEY"},
    )
