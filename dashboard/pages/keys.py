"""`/keys/`: API keys, made, shown once and revoked by admins."""

from __future__ import annotations

from django.contrib import messages
from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from breakers.access import Actor, environments_for, require, row_id
from breakers.errors import FieldError, Invalid
from breakers.ingest.bounds import NAMES_MAX
from breakers.ingest.pace import EVENTS_PER_SECOND
from breakers.keys import create_api_key, keys_for, limit_api_key, names_made, revoke_api_key
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
    if "limit" in request.POST:
        return _limit(request, actor)
    try:
        key, text = _create(request, actor)
    except Invalid as wrong:
        return _render(request, actor, errors=_by_field(wrong), status=422)
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
        events_per_second=_number(request, "events_per_second"),
        names_max=_number(request, "names_max"),
        by=actor,
    )


def _number(request: HttpRequest, name: str) -> int | None:
    """What a field for a whole number says; None where it is empty. Raises Invalid."""
    said = request.POST.get(name, "").strip()
    if not said:
        return None
    if not (said.isascii() and said.isdigit() and len(said) < 12):
        raise Invalid([FieldError((name,), "must be a whole number")])
    return int(said)


def _by_field(wrong: Invalid) -> dict[str, str]:
    return {str(error.loc[0]): error.msg for error in wrong.errors}


def _limit(request: HttpRequest, actor: Actor) -> HttpResponse:
    key_id = row_id(request.POST["limit"])
    try:
        key = limit_api_key(
            key_id,
            events_per_second=_number(request, "events_per_second"),
            names_max=_number(request, "names_max"),
            by=actor,
        )
    except Invalid as wrong:
        return _render(request, actor, limiting=key_id, limit_errors=_by_field(wrong), status=422)
    messages.success(request, f"“{key.name}” has its new limits within 5 s.", extra_tags="good")
    return redirect("keys")


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
    limiting: int | None = None,
    limit_errors: dict[str, str] | None = None,
    status: int = 200,
) -> HttpResponse:
    keys = list(
        keys_for(actor).order_by(F("revoked_at").desc(nulls_first=True), "-created_at", "-id")
    )
    made_names = names_made()
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
            "keys": [(key, made_names[key.pk], key.names_max or NAMES_MAX) for key in keys],
            "scopes": Scope.values,
            "environment_names": [one.name for one in environments_for(actor)],
            "made": made,
            "text": text,
            "errors": errors or {},
            "limiting": limiting,
            "limit_errors": limit_errors or {},
            "default_events_per_second": EVENTS_PER_SECOND,
            "default_names_max": NAMES_MAX,
            "said": request.POST,
        },
        status=status,
    )
