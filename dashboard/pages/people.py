"""`/people/`: who signs in, and what they may do."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods

from breakers.access import Actor, require, row_id
from breakers.audit import record
from breakers.errors import NotFound
from breakers.models import Environment, Person, Role, Scope
from dashboard.pages import words
from dashboard.pages.frame import page, person_of, render_page


@page
@require_http_methods(["GET", "HEAD", "POST"])
def people_page(request: HttpRequest, actor: Actor) -> HttpResponse:
    require(actor, Scope.ADMIN)
    if request.method != "POST":
        return _render(request, actor)
    if "person" in request.POST:
        return _change(request, actor)
    errors = _wrong(request)
    named = set(request.POST.getlist("environments"))
    known = set(Environment.objects.values_list("name", flat=True))
    if named - known:
        # Dropping an unknown name would leave fewer limits than were asked for, or none at all.
        errors["environments"] = "There is no such environment."
    if errors:
        return _render(request, actor, errors=errors, status=422)
    with transaction.atomic():
        person = Person.objects.create_person(
            username=request.POST["username"].strip(),
            password=request.POST["password"],
            role=Role(request.POST["role"]),
        )
        person.environments.set(
            Environment.objects.filter(name__in=request.POST.getlist("environments"))
        )
        record(
            actor,
            "person.create",
            kind="person",
            id=person.pk,
            subject=person.username,
            after={"role": person.role},
        )
    messages.success(request, f"{person.username} can sign in now.", extra_tags="good")
    return redirect("people")


def _wrong(request: HttpRequest) -> dict[str, str]:
    errors = {}
    name = request.POST.get("username", "").strip()
    if not (0 < len(name) <= 150 and name.isprintable()):
        errors["username"] = "1 to 150 printable characters."
    elif Person.objects.filter(username=name).exists():
        errors["username"] = "Somebody has this name already."
    if request.POST.get("role") not in Role.values:
        errors["role"] = "One of " + ", ".join(Role.values) + "."
    try:
        validate_password(request.POST.get("password", ""))
    except ValidationError as problem:
        errors["password"] = " ".join(problem.messages)
    return errors


def _change(request: HttpRequest, actor: Actor) -> HttpResponse:
    """A role, or whether the person may sign in at all; never one's own, so that an admin is left."""
    with transaction.atomic():
        person = (
            Person.objects.select_for_update().filter(pk=row_id(request.POST["person"])).first()
        )
        if person is None or person.pk == person_of(request).pk:
            raise NotFound("No such person.")
        before = {"role": person.role, "is_active": person.is_active}
        if request.POST.get("role") in Role.values:
            person.role = Role(request.POST["role"])
        if "active" in request.POST:
            person.is_active = request.POST["active"] == "yes"
        person.save(update_fields=["role", "is_active"])
        after = {"role": str(person.role), "is_active": person.is_active}
        record(
            actor,
            "person.change",
            kind="person",
            id=person.pk,
            subject=person.username,
            before=before,
            after=after,
        )
    messages.success(request, f"Changed {person.username}.", extra_tags="good")
    return redirect("people")


def _render(
    request: HttpRequest, actor: Actor, *, errors: dict[str, str] | None = None, status: int = 200
) -> HttpResponse:
    people = list(Person.objects.prefetch_related("environments").order_by("username"))
    admins = sum(person.role == Role.ADMIN and person.is_active for person in people)
    return render_page(
        request,
        actor,
        "people/list.html",
        {
            "headline": f"{words.counted(len(people), 'person', 'people')}, {words.counted(admins, 'admin')} among them.",
            "people": people,
            "roles": Role.values,
            "environment_names": list(
                Environment.objects.order_by("name").values_list("name", flat=True)
            ),
            "errors": errors or {},
            "said": request.POST,
        },
        status=status,
    )
