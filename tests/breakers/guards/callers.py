"""Callers of the control API, and what they say."""

from __future__ import annotations

from typing import Any

from django.test import Client

from breakers.models import Breaker, Environment, OutboxRow, Person, Role
from tests.support.make import make_key

FORCE: dict[str, Any] = {"mode": "forced_open", "reason": "maintenance", "expires_in": 600}
PASSWORD = "long enough to sign in"


def person(name: str = "ada", role: Role | str = Role.OPERATOR, *environments: str) -> Client:
    """A browser in which somebody of this name is signed in; made where there is no such person."""
    known = Person.objects.filter(username=name).first()
    if known is None:
        known = Person.objects.create_person(username=name, password=PASSWORD, role=Role(role))
        for one in environments:
            known.environments.add(Environment.objects.get_or_create(name=one)[0])
    client = Client()
    client.force_login(known)
    return client


def key(*scopes: str, by: str | None = None, **limits: Any) -> Client:
    """A script with a key, made by this person or by nobody known."""
    made, text = make_key(scopes=scopes or ("read", "operate"), **limits)
    if by is not None:
        made.created_by = Person.objects.get(username=by)
        made.save(update_fields=["created_by"])
    return Client(headers={"Authorization": f"Bearer {text}"})


def limit(environment: str = "prod", **limits: Any) -> None:
    """Sets the limits of an environment, as an admin does."""
    admin = person("the admin", Role.ADMIN)
    answer = admin.put(
        f"/api/v1/environments/{environment}", limits, content_type="application/json"
    )
    assert answer.status_code == 200, answer.content


def force(caller: Client, breaker: Breaker, **more: Any) -> Any:
    return caller.put(
        f"/api/v1/breakers/{breaker.pk}/override", FORCE | more, content_type="application/json"
    )


def command(caller: Client, breaker: Breaker, **more: Any) -> Any:
    return caller.post(
        f"/api/v1/breakers/{breaker.pk}/commands",
        {"command": "trip", "reason": "drill"} | more,
        content_type="application/json",
    )


def release(caller: Client, breaker: Breaker) -> Any:
    return caller.delete(
        f"/api/v1/breakers/{breaker.pk}/override",
        {"reason": "over"},
        content_type="application/json",
    )


def decide(caller: Client, approval: str, what: str = "approve", **body: Any) -> Any:
    return caller.post(
        f"/api/v1/approvals/{approval}/{what}", body, content_type="application/json"
    )


def told_to_alerts() -> list[OutboxRow]:
    """What waits to be judged of broken glass."""
    return list(OutboxRow.objects.exclude(override_id=None, before_override_id=None))
