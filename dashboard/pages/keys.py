"""`/keys/`: API keys, made, shown once and revoked by admins."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from breakers.access import Actor, environments_for, require, row_id
from breakers.errors import Invalid
from breakers.keys import create_api_key, revoke_api_key
from breakers.models import ApiKey, Scope
from dashboard.pages import words
from dashboard.pages.frame import page, render_page


@page
@require_http_methods(["GET", "HEAD", "POST"])
def keys_page(request: HttpRequest, actor: Actor) -> HttpResponse:
    require(actor, Scope.ADMIN)
    if request.method != "POST":
        return _render(request, actor)
    if "revoke" in request.POST:
        return _revoke(request, actor)
    try:
        key, text = _create(request, actor)
    except Invalid as wrong:
        return _render(
            request,
            actor,
            errors={str(error.loc[0]): error.msg for error in wrong.errors},
            status=422,
        )
    return _render(request, actor, made=key, text=text)


def _create(request: HttpRequest, actor: Actor) -> tuple[ApiKey, str]:
    services = [
        name.strip() for name in request.POST.get("services", "").split(",") if name.strip()
    ]
    return create_api_key(
        name=request.POST.get("name", "").strip(),
        scopes=request.POST.getlist("scopes"),
        environment=request.POST.get("environment", "").strip() or None,
        services=services or None,
        by=actor,
    )


def _revoke(request: HttpRequest, actor: Actor) -> HttpResponse:
    key = revoke_api_key(row_id(request.POST["revoke"]), by=actor, now=timezone.now())
    messages.success(
        request, f"“{key.name}” is revoked: what uses it is refused within 5 s.", extra_tags="good"
    )
    return redirect("keys")


def _render(
    request: HttpRequest,
    actor: Actor,
    *,
    made: ApiKey | None = None,
    text: str = "",
    errors: dict[str, str] | None = None,
    status: int = 200,
) -> HttpResponse:
    keys = list(
        ApiKey.objects.select_related("environment", "created_by").order_by(
            "revoked_at", "-created_at", "-id"
        )
    )
    valid = [key for key in keys if key.revoked_at is None]
    unused = sum(key.last_used_at is None for key in valid)
    headline = (
        "No keys: nothing can report yet."
        if not valid
        else f"{words.counted(len(valid), 'key')}, {f'{unused} never used' if unused else 'all used'}."
    )
    return render_page(
        request,
        actor,
        "keys/list.html",
        {
            "headline": headline,
            "keys": keys,
            "scopes": Scope.values,
            "environment_names": [one.name for one in environments_for(actor)],
            "made": made,
            "text": text,
            "errors": errors or {},
            "said": request.POST,
        },
        status=status,
    )
