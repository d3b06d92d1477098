"""`/connect/`: from nothing to the first breaker on the board, with the newcomer's own key."""

from __future__ import annotations

import json
import shlex

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_http_methods

from breakers.access import Actor, environments_for, require
from breakers.errors import Invalid
from breakers.keys import create_api_key
from breakers.models import Scope
from dashboard.pages.frame import page, render_page

SCOPES = (Scope.INGEST, Scope.AGENT)
"""What a service needs to report and to obey; no more."""
SERVICE, BREAKER, TARGET = "my-service", "my-breaker", "my-dependency"
ENVIRONMENT, PLACEHOLDER = "dev", "YOUR-KEY"


@page
@require_http_methods(["GET", "HEAD", "POST"])
def connect_page(request: HttpRequest, actor: Actor) -> HttpResponse:
    """The examples are for `?environment=`, or for that of the key that was just made."""
    known = sorted(one.name for one in environments_for(actor))
    said = request.POST if request.method == "POST" else request.GET
    first = known[0] if actor.environments is not None and known else ENVIRONMENT
    environment = said.get("environment", "").strip() or first
    key, error = PLACEHOLDER, ""
    if request.method == "POST":
        require(actor, Scope.ADMIN)
        try:
            _, key = create_api_key(
                name=f"first key of {actor.name}"[:200],
                scopes=SCOPES,
                environment=environment,
                by=actor,
            )
        except Invalid as wrong:
            error, environment = wrong.errors[0].msg, first
    return render_page(
        request,
        actor,
        "connect/page.html",
        {
            "key": "" if key == PLACEHOLDER else key,
            "placeholder": PLACEHOLDER,
            "environment_names": known,
            "chosen": environment,
            "said": said.get("environment", "") if error else environment,
            "error": error,
            "shell": shell_example(settings.PUBLIC_URL, key, environment),
            "python": python_example(settings.PUBLIC_URL, key, environment),
            "service": SERVICE,
            "breaker": BREAKER,
        },
        status=422 if error else 200,
    )


def shell_example(url: str, key: str, environment: str) -> str:
    """One event by curl, quoted so that it does what it says whatever the names hold."""
    event = {
        "environment": environment,
        "service": SERVICE,
        "breaker": BREAKER,
        "target": TARGET,
        "to": "open",
    }
    return " \\\n  ".join(
        (
            f"curl -sS {shlex.quote(url + '/api/v1/events')}",
            f"-H {shlex.quote(f'Authorization: Bearer {key}')}",
            "-H 'Content-Type: application/json'",
            f"-d {shlex.quote(json.dumps(event, ensure_ascii=False, indent=2))}",
        )
    )


def python_example(url: str, key: str, environment: str) -> str:
    """What a service adds to itself."""

    def literal(text: str) -> str:
        return json.dumps(text, ensure_ascii=False)  # of printable characters: Python's, too

    return f"""\
import panelboard_client, pybreaker

panel = panelboard_client.connect(
    url={literal(url)},
    api_key={literal(key)},
    service="{SERVICE}",
    environment={literal(environment)},
)
breaker = panel.watch(
    pybreaker.CircuitBreaker(fail_max=5, reset_timeout=30),
    name="{BREAKER}",
    target="{TARGET}",
)"""
