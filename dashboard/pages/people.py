"""`/people/`: who signs in, and what they may do."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods

from breakers.access import Actor, require, row_id
from breakers.errors import FieldError, Forbidden, Invalid, NotFound
from breakers.models import Environment, Person, Role, Scope
from breakers.people import (
    change_person,
    create_person,
    password_problem,
    set_password,
    username_problem,
)
from dashboard.pages import words
from dashboard.pages.frame import page, person_of, render_page


@page
@require_http_methods(["GET", "HEAD", "POST"])
def people_page(request: HttpRequest, actor: Actor) -> HttpResponse:
    """`?change=ID` opens the form for one of them."""
    require(actor, Scope.ADMIN)
    if actor.limited:
        # They could let themselves into everything by making a person who may.
        raise Forbidden("People are made and changed by admins without limits.")
    chosen = request.POST.get("person") or request.GET.get("change")
    person = _other_than_oneself(request, chosen) if chosen else None
    if request.method != "POST":
        return _render(request, actor, person)
    try:
        if person is None:
            said = _create(request.POST, actor)
        elif "password" in request.POST:
            said = _set_password(person, request.POST["password"], actor)
        else:
            said = _change(person, request.POST, actor)
    except Invalid as wrong:
        return _render(request, actor, person, wrong=wrong)
    messages.success(request, said, extra_tags="good")
    return redirect("people")


def _other_than_oneself(request: HttpRequest, person_id: str) -> Person:
    """Nobody changes themselves here, so that an admin is left."""
    person = Person.objects.filter(pk=row_id(person_id)).first()
    if person is None or person.pk == person_of(request).pk:
        raise NotFound("No such person.")
    return person


def _create(said: QueryDict, actor: Actor) -> str:
    name, password, role = said.get("username", "").strip(), said.get("password", ""), _role(said)
    problems = {
        "username": username_problem(name),
        "password": password_problem(password),
        "role": None if role else "One of " + ", ".join(Role.values) + ".",
    }
    wrong = [FieldError((field,), text) for field, text in problems.items() if text]
    if wrong or role is None:
        raise Invalid(wrong)
    person = create_person(
        username=name,
        password=password,
        role=role,
        environments=said.getlist("environments"),
        by=actor,
    )
    return f"{person.username} can sign in now."


def _change(person: Person, said: QueryDict, actor: Actor) -> str:
    change_person(
        person.pk,
        role=_role(said),
        is_active=said["active"] == "yes" if "active" in said else None,
        # Boxes that are not ticked say nothing, so the form says that it has them.
        environments=said.getlist("environments") if "limits" in said else None,
        by=actor,
    )
    return f"Changed {person.username}."


def _set_password(person: Person, password: str, actor: Actor) -> str:
    problem = password_problem(password)
    if problem:
        raise Invalid([FieldError(("password",), problem)])
    set_password(person.pk, password, by=actor)
    return f"{person.username} has a new password, and is signed out everywhere."


def _role(said: QueryDict) -> Role | None:
    return next((role for role in Role if role.value == said.get("role")), None)


def _render(
    request: HttpRequest, actor: Actor, person: Person | None, *, wrong: Invalid | None = None
) -> HttpResponse:
    people = list(Person.objects.prefetch_related("environments").order_by("username"))
    admins = sum(one.role == Role.ADMIN and one.is_active for one in people)
    errors = {str(error.loc[0]): error.msg for error in wrong.errors} if wrong else {}
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
            "chosen": person,
            "within": [one.name for one in person.environments.all()] if person else [],
            "errors": errors,
            "said": request.POST,
        },
        status=422 if wrong else 200,
    )
