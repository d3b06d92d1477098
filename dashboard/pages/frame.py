"""What every page stands in: the rail, the bar, the person, and the answer to those who may not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Concatenate, ParamSpec, cast

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache

from breakers.access import Actor, actor_of_person, breakers_for
from breakers.errors import Forbidden, NotFound
from breakers.guards.approvals import approvals_for, waiting
from breakers.models import Override, Person, Scope
from dashboard.pages.firing import firing_count

P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Link:
    """A line of the rail. `apart` begins a new group; `tab` puts it at the foot of a phone, too."""

    name: str
    url: str
    icon: str
    badge: str | None = None
    apart: bool = False
    tab: bool = False
    scope: Scope = Scope.READ


RAIL = (
    Link("Board", "/", "board", tab=True),
    Link("Incidents", "/incidents/", "incidents", badge="incidents", tab=True),
    Link("Overrides", "/overrides/", "overrides", badge="overrides", tab=True),
    Link("Approvals", "/approvals/", "approvals", badge="approvals", scope=Scope.OPERATE),
    Link("Reports", "/reports/", "reports"),
    Link("Rules", "/rules/", "rules", apart=True),
    Link("Policies", "/policies/", "policies"),
    Link("Channels", "/channels/", "channels"),
    Link("Deliveries", "/deliveries/", "deliveries"),
    Link("Audit log", "/audit/", "audit", scope=Scope.OPERATE),
    Link("Instances", "/instances/", "instances", tab=True),
    Link("Connect a service", "/connect/", "connect", apart=True),
    Link("Environments", "/environments/", "environments", scope=Scope.ADMIN),
    Link("API keys", "/keys/", "keys", scope=Scope.ADMIN),
    Link("People", "/people/", "people", scope=Scope.ADMIN),
)


def page(
    view: Callable[Concatenate[HttpRequest, Actor, P], HttpResponse],
) -> Callable[..., HttpResponse]:
    """A view for people who are signed in: handed the actor, never cached, with a page for what it may not."""

    @wraps(view)
    def shown(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        # The address goes into the audit log; no proxy header is trusted here.
        actor = actor_of_person(person_of(request), address=request.META.get("REMOTE_ADDR") or None)
        try:
            return view(request, actor, *args, **kwargs)
        except NotFound:
            return _refusal(
                request,
                actor,
                404,
                "Nothing is here.",
                "It was never there, or it is outside of what you may see.",
            )
        except Forbidden:
            return _refusal(
                request,
                actor,
                403,
                "This is not yours to do.",
                f"Your role is {person_of(request).role}. Ask an admin for more.",
            )

    return cast("Callable[..., HttpResponse]", never_cache(login_required(shown)))


def person_of(request: HttpRequest) -> Person:
    """The signed-in person; only for views that ask for a sign-in."""
    assert isinstance(request.user, Person)
    return request.user


def render_page(
    request: HttpRequest,
    actor: Actor,
    template: str,
    context: dict[str, Any] | None = None,
    *,
    status: int = 200,
) -> HttpResponse:
    """The page in its frame."""
    links = [link for link in RAIL if link.scope in actor.can]
    frame = {
        "rail": links,
        "tabs": [link for link in links if link.tab],
        "here": _here(request.path),
        "counts": {
            "incidents": firing_count(actor),
            "overrides": overrides_count(actor),
            "approvals": approvals_count(actor),
        },
        "person": person_of(request),
        "now": timezone.now(),
        "may_operate": Scope.OPERATE in actor.can,
        "may_admin": Scope.ADMIN in actor.can,
        # An empty list says nothing of what lies outside.
        "limited": actor.limited,
        "limits": ", ".join(sorted(actor.environments or ())),
    }
    return render(request, template, {**frame, **(context or {})}, status=status)


def _here(path: str) -> str:
    """The rail's line for this path: a breaker's page belongs to the board."""
    first = path.split("/")[1]
    return "/" if first in ("", "breakers") else f"/{first}/"


def overrides_count(actor: Actor) -> int:
    """Standing ones within the actor's limits."""
    rows = Override.objects.filter(ended_at__isnull=True)
    if actor.limited:
        rows = rows.filter(breaker__in=breakers_for(actor))
    return rows.count()


def approvals_count(actor: Actor) -> int:
    """Calls that this actor could approve now."""
    if Scope.OPERATE not in actor.can:
        return 0
    return waiting(approvals_for(actor), timezone.now()).exclude(by_person=actor.person).count()


def _refusal(
    request: HttpRequest, actor: Actor, status: int, headline: str, why: str
) -> HttpResponse:
    return render_page(
        request, actor, "refusal.html", {"headline": headline, "why": why}, status=status
    )
