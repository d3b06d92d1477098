from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from breakers.models import AuditEntry, Environment, Role
from tests.breakers.guards.callers import key, limit, person
from tests.support.make import make_breaker

pytestmark = pytest.mark.django_db

NONE = {"guard": None, "confirm": False, "four_eyes": None}
ALL = {
    "guard": {"max_forced_percent": 50},
    "confirm": True,
    "four_eyes": {"above": 3},
}


def get(caller: Client, name: str = "prod") -> Any:
    return caller.get(f"/api/v1/environments/{name}")


def put(caller: Client, body: Any, name: str = "prod") -> Any:
    return caller.put(f"/api/v1/environments/{name}", body, content_type="application/json")


def test_an_environment_has_no_limits_until_an_admin_sets_them() -> None:
    make_breaker()
    admin = person(role=Role.ADMIN)

    before = get(admin).json()
    after = put(admin, ALL)

    assert before == {"name": "prod"} | NONE
    assert (after.status_code, after.json()) == (200, {"name": "prod"} | ALL)
    assert get(admin).json() == after.json()
    entry = AuditEntry.objects.get(action="limit_environment")
    assert (entry.before, entry.after) == (NONE, ALL)
    assert (entry.actor_name, entry.environment) == ("ada", "prod")


def test_what_is_not_said_limits_nothing_any_more() -> None:
    make_breaker()
    admin = person(role=Role.ADMIN)
    put(admin, ALL)

    assert put(admin, {}).json() == {"name": "prod"} | NONE


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({"guard": {"max_forced_percent": 101}}, ["guard", "max_forced_percent"]),
        ({"guard": {"max_forced_percent": -1}}, ["guard", "max_forced_percent"]),
        ({"guard": 50}, ["guard"]),
        ({"guard": {"max_forced_percents": 50}}, ["guard", "max_forced_percent"]),
        ({"four_eyes": {}}, ["four_eyes", "above"]),
        ({"four_eyes": {"above": 10**12}}, ["four_eyes", "above"]),
        ({"confirm": "perhaps"}, ["confirm"]),
    ],
)
def test_limits_that_make_no_sense_are_told_by_their_place(body: Any, loc: list[str]) -> None:
    make_breaker()

    answer = put(person(role=Role.ADMIN), body)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == loc


def test_who_may_read_does_not_set() -> None:
    make_breaker()

    assert get(person(role=Role.VIEWER)).status_code == 200
    assert put(person("bob"), ALL).status_code == 403
    assert put(key("read", "operate"), ALL).status_code == 403
    assert put(key("admin"), ALL).status_code == 200
    assert get(key("operate")).status_code == 403
    assert get(Client()).status_code == 401


def test_outside_the_limits_is_like_what_does_not_exist() -> None:
    make_breaker()
    Environment.objects.create(name="dev")
    limited = person("eve", Role.ADMIN, "dev")

    assert put(limited, ALL, "dev").status_code == 200
    assert put(limited, ALL, "prod").status_code == 404
    assert get(limited, "prod").status_code == 404
    assert put(limited, ALL, "nowhere").status_code == 404
    assert put(person("root", Role.ADMIN), ALL, "nowhere").status_code == 404
    listed = limited.get("/api/v1/environments").json()["items"]
    assert [one["name"] for one in listed] == ["dev"]


def test_a_key_of_some_services_does_not_limit_all_of_them() -> None:
    make_breaker(service="orders")

    answer = put(key("admin", environment="prod", services=["orders"]), ALL)

    assert answer.status_code == 403
    assert not Environment.objects.get(name="prod").confirm


def test_an_environment_may_have_any_printable_name() -> None:
    make_breaker(environment="eu/prod ü")
    admin = person(role=Role.ADMIN)

    assert put(admin, ALL, "eu%2Fprod%20%C3%BC").status_code == 200
    assert get(admin, "eu/prod ü").json()["name"] == "eu/prod ü"


@pytest.mark.parametrize("body", ["[]", "null", '"x"', "7", "[1, 2]", '{"confirm": "no"}'])
def test_what_is_no_object_takes_no_limit_away(body: str) -> None:
    make_breaker()
    limit(confirm=True)

    answer = person("ana", Role.ADMIN).put(
        "/api/v1/environments/prod", body, content_type="application/json"
    )

    assert answer.status_code == 422
    assert Environment.objects.get(name="prod").confirm
