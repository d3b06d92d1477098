"""`/password/`: one's own password, for everybody who signs in."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from breakers.access import Actor
from breakers.people import password_problem, set_password
from dashboard import attempts
from dashboard.pages.frame import page, person_of, render_page
from dashboard.pages.sign_in import address_of, too_many


@sensitive_post_parameters()
@page
@require_http_methods(["GET", "HEAD", "POST"])
def password_page(request: HttpRequest, actor: Actor) -> HttpResponse:
    if request.method != "POST":
        return render_page(request, actor, "password/page.html")
    errors, status = _wrong(request)
    if errors:
        return render_page(request, actor, "password/page.html", {"errors": errors}, status=status)
    person = set_password(actor.id, request.POST["new"], by=actor)
    # This session lives on; all others carry the old password's stamp, and end.
    update_session_auth_hash(request, person)
    messages.success(
        request, "Your password is changed. Everywhere else you are signed out.", extra_tags="good"
    )
    return redirect("password")


def _wrong(request: HttpRequest) -> tuple[dict[str, str], int]:
    """What is wrong, by field, and the status that says so."""
    person, new = person_of(request), request.POST.get("new", "")
    errors = {}
    problem = password_problem(new)
    if problem:
        errors["new"] = problem
    if request.POST.get("again") != new:
        errors["again"] = "This is not the same."
    if errors:
        return errors, 422
    # Counted like a sign-in: a window left open is no place to guess in.
    wait = attempts.count_try(person.username, address_of(request))
    if wait:
        return {"now": too_many(wait)}, 429
    if not person.check_password(request.POST.get("now", "")):
        return {"now": "This is not your password."}, 422
    attempts.take_back(person.username, address_of(request))
    return {}, 200
