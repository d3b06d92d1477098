"""People: who signs in, as what and within which environments; each change is in the audit log, no password is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from breakers.access import Actor
from breakers.audit import record
from breakers.errors import Conflict, FieldError, Invalid, NotFound
from breakers.models import Environment, Person, Role

USERNAME_MAX = 150


def password_problem(password: str) -> str | None:
    """Why this is no good password, in words; None: it is."""
    try:
        validate_password(password)
    except ValidationError as problem:
        return " ".join(problem.messages)
    return None


def username_problem(username: str) -> str | None:
    """Why nobody can be called so; looked at as it would be stored."""
    name = Person.normalize_username(username)
    if not (0 < len(name) <= USERNAME_MAX and name.isprintable()):
        return f"1 to {USERNAME_MAX} printable characters."
    if Person.objects.filter(username=name).exists():
        return "Somebody has this name already."
    return None


def create_person(
    *, username: str, password: str, role: Role, by: Actor, environments: Sequence[str] = ()
) -> Person:
    """Someone who can sign in with this password. Raises Invalid for the name and for unknown environments."""
    problem = username_problem(username)
    if problem:
        raise Invalid([FieldError(("username",), problem)])
    within = _environments(environments)
    try:
        with transaction.atomic():
            person = Person.objects.create_person(username=username, password=password, role=role)
            person.environments.set(within)
            _record(by, "create_person", person, after=told(person))
    except IntegrityError:  # two at once
        raise Invalid([FieldError(("username",), "Somebody has this name already.")]) from None
    return person


def change_person(
    person_id: int,
    *,
    by: Actor,
    role: Role | None = None,
    is_active: bool | None = None,
    environments: Sequence[str] | None = None,
) -> Person:
    """What is None stays; no environments: all of them. Sockets with other rights end within seconds.

    Raises NotFound, Conflict where no active admin would be left, and Invalid for unknown environments.
    """
    within = None if environments is None else _environments(environments)
    with transaction.atomic():
        person = _held(person_id)
        before = told(person)
        if role is not None:
            person.role = role
        if is_active is not None:
            person.is_active = is_active
        person.save(update_fields=["role", "is_active"])
        _keep_an_admin(before)
        if within is not None:
            person.environments.set(within)
        _record(by, "change_person", person, before=before, after=told(person))
    return person


def set_password(person_id: int, password: str, *, by: Actor) -> Person:
    """Ends the person's sessions at their next request, and their sockets within seconds. Raises NotFound."""
    with transaction.atomic():
        person = _held(person_id)
        person.set_password(password)
        person.save(update_fields=["password"])
        _record(by, "set_password", person)
    return person


def told(person: Person) -> dict[str, Any]:
    """What a person may, as JSON for the audit log."""
    names = person.environments.order_by("name").values_list("name", flat=True)
    return {"role": str(person.role), "is_active": person.is_active, "environments": list(names)}


def _environments(names: Sequence[str]) -> list[Environment]:
    """Those of these names; dropping an unknown one would leave fewer limits than were asked for, or none."""
    found = list(Environment.objects.filter(name__in=[n for n in names if n.isprintable()]))
    if len(found) < len(set(names)):
        raise Invalid([FieldError(("environments",), "There is no such environment.")])
    return found


def _keep_an_admin(before: Mapping[str, Any]) -> None:
    """After a change of somebody who was this before; two who lock each other out wait for one another."""
    if before["role"] != Role.ADMIN or not before["is_active"]:
        return
    admins = Person.objects.select_for_update(no_key=True).filter(role=Role.ADMIN).order_by("pk")
    if not any(one.is_active for one in admins):
        raise Conflict("Nobody could administer the panel any more.")


def _held(person_id: int) -> Person:
    person = Person.objects.select_for_update(no_key=True).filter(pk=person_id).first()
    if person is None:
        raise NotFound("No such person.")
    return person


def _record(
    by: Actor,
    action: str,
    person: Person,
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    record(
        by,
        action,
        kind="person",
        id=person.pk,
        subject=person.username,
        before=before,
        after=after,
    )
