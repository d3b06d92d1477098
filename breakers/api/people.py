"""People by the API: made and changed by admins without limits; no answer ever has a password."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from ninja import Router, Schema, Status
from pydantic import Field

from breakers import access
from breakers.access import Actor, row_id
from breakers.api.auth import ADMIN
from breakers.api.body import Body, OneOf
from breakers.api.shapes import Authed, Limit
from breakers.cursor import LIMIT_DEFAULT, page
from breakers.errors import FieldError, Forbidden, Invalid, NotFound
from breakers.models import Person, Role, Scope
from breakers.people import change_person, create_person, password_problem, set_password

router = Router(tags=["access"])
Password = Annotated[str, Field(max_length=1000)]


class PersonRights(Body):
    """Within `environments`, or everywhere where there are none."""

    role: OneOf[Role]
    is_active: bool = True
    environments: Annotated[list[str], Field(max_length=1000)] = []


class PersonIn(Body):
    username: str
    password: Password
    role: OneOf[Role]
    environments: Annotated[list[str], Field(max_length=1000)] = []


class PasswordIn(Body):
    password: Password


class PersonOut(PersonRights):
    id: str
    username: str
    created_at: datetime

    @classmethod
    def of(cls, person: Person) -> PersonOut:
        return cls(
            id=str(person.pk),
            username=person.username,
            role=Role(person.role),
            is_active=person.is_active,
            environments=sorted(one.name for one in person.environments.all()),
            created_at=person.created_at,
        )


class PersonPage(Schema):
    items: list[PersonOut]
    next: str | None


def _require(actor: Actor) -> None:
    """Limited admins could let themselves into everything by making a person who may."""
    access.require(actor, Scope.ADMIN)
    if actor.limited:
        raise Forbidden("People are made and changed by admins without limits.")


def _other(actor: Actor, person_id: str) -> int:
    """Nobody changes themselves here, so that an admin is left."""
    found = row_id(person_id)
    if actor.kind == "person" and actor.id == found:
        raise NotFound("No such person beside yourself.")
    return found


@router.get("/people", auth=ADMIN, response=PersonPage)
def get_people(request: Authed, limit: Limit = LIMIT_DEFAULT, cursor: str = "") -> PersonPage:
    """People, newest first, those too who may not sign in any more."""
    _require(request.auth)
    found, next_ = page(
        Person.objects.prefetch_related("environments"),
        order=[("created_at", datetime), ("id", int)],
        newest_first=True,
        limit=limit,
        cursor=cursor or None,
        query={"list": "people"},
    )
    return PersonPage(items=[PersonOut.of(person) for person in found], next=next_)


@router.post("/people", auth=ADMIN, response={201: PersonOut})
def post_person(request: Authed, body: PersonIn) -> Status[PersonOut]:
    """Lets somebody in."""
    _require(request.auth)
    _check(body.password)
    person = create_person(
        username=body.username.strip(),
        password=body.password,
        role=body.role,
        environments=body.environments,
        by=request.auth,
    )
    return Status(201, PersonOut.of(person))


@router.get("/people/{person_id}", auth=ADMIN, response=PersonOut)
def get_person(request: Authed, person_id: str) -> PersonOut:
    """One person."""
    _require(request.auth)
    person = Person.objects.filter(pk=row_id(person_id)).first()
    if person is None:
        raise NotFound("No such person.")
    return PersonOut.of(person)


@router.put("/people/{person_id}", auth=ADMIN, response=PersonOut)
def put_person(request: Authed, person_id: str, body: PersonRights) -> PersonOut:
    """Sets what somebody may and where, or that they may not sign in any more; their sockets end within 5 s.
    409 where no active admin would be left."""
    _require(request.auth)
    return PersonOut.of(
        change_person(
            _other(request.auth, person_id),
            role=body.role,
            is_active=body.is_active,
            environments=body.environments,
            by=request.auth,
        )
    )


@router.put("/people/{person_id}/password", auth=ADMIN, response={204: None})
def put_password(request: Authed, person_id: str, body: PasswordIn) -> Status[None]:
    """Sets a new password, which signs them out everywhere."""
    _require(request.auth)
    _check(body.password)
    set_password(_other(request.auth, person_id), body.password, by=request.auth)
    return Status(204, None)


def _check(password: str) -> None:
    problem = password_problem(password)
    if problem:
        raise Invalid([FieldError(("password",), problem)])
