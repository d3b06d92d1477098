"""Keys and people by the API: the same verbs as on the pages, and no more than these."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from breakers.models import ApiKey, AuditEntry, Environment, Person, Role
from tests.alerts.api.callers import Caller
from tests.support.make import make_key
from tests.support.people import PASSWORD, signed_in
from tests.support.web import Web, serve

EVE = {"username": "eve", "password": PASSWORD, "role": "viewer"}


@pytest.mark.django_db
def test_a_key_is_told_once_and_works_and_is_revoked() -> None:
    call = Caller()
    made = call.post("/keys", {"name": "ci", "scopes": ["read"], "environment": "prod"})

    text = made.pop("key")
    assert call.get(f"/keys/{made['id']}") == made
    assert text not in json.dumps([call.get("/keys"), call.get("/audit")])
    assert not AuditEntry.objects.filter(after__icontains=text).exists()

    assert call("DELETE", f"/keys/{made['id']}") == (204, None)
    assert call.get(f"/keys/{made['id']}")["revoked_at"]
    assert call("DELETE", f"/keys/{made['id']}")[0] == 404
    acts = [entry["action"] for entry in call.get("/audit?target=ci")["items"]]
    assert acts == ["revoke_key", "create_key"]


@pytest.mark.django_db
def test_a_keys_limits_are_set_and_taken_away() -> None:
    call = Caller()
    id = call.post("/keys", {"name": "ci", "scopes": ["ingest"]})["id"]

    status, limited = call("PUT", f"/keys/{id}", {"events_per_second": 50, "names_max": 7})
    assert (status, limited["events_per_second"], limited["names_max"]) == (200, 50, 7)
    assert call("PUT", f"/keys/{id}", {})[1]["names_max"] is None
    assert call("PUT", f"/keys/{id}", {"names_max": 0})[0] == 422
    assert call("PUT", f"/keys/{id}", {"names_max": 10**12})[0] == 422


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"name": ""}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["king"]}, "scopes"),
        ({"environment": "\n"}, "environment"),
        ({"services": [""]}, "services"),
        ({"names_max": -1}, "names_max"),
    ],
)
def test_a_wrong_key_is_told_by_its_place(wrong: dict[str, Any], where: str) -> None:
    status, said = Caller()("POST", "/keys", {"name": "ci", "scopes": ["read"]} | wrong)

    assert status == 422
    assert said["errors"][0]["loc"][0] == where


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/keys", "/people"])
def test_only_admins_see_them(path: str) -> None:
    assert Caller(["read", "operate"])("GET", path)[0] == 403
    assert Caller(["read", "operate"])("GET", f"{path}/none")[0] == 403
    assert Caller()("GET", f"{path}/none")[0] == 404
    assert Caller()("GET", f"{path}/{10**17}")[0] == 404


@pytest.mark.django_db
def test_a_limited_admin_reaches_keys_within_its_limits_alone() -> None:
    everywhere, _ = make_key(name="everywhere", scopes=["read"])
    elsewhere, _ = make_key(name="elsewhere", scopes=["read"], environment="staging")
    whole, _ = make_key(name="whole", scopes=["read"], environment="prod")
    call = Caller(environment="prod", services=["orders"])
    mine = {"name": "mine", "scopes": ["read"], "environment": "prod", "services": ["orders"]}
    made = call.post("/keys", mine)

    assert {one["name"] for one in call.get("/keys")["items"]} == {"mine", "test"}
    for key in (everywhere, elsewhere, whole):
        assert call("GET", f"/keys/{key.pk}")[0] == 404
        assert call("PUT", f"/keys/{key.pk}", {"names_max": 1})[0] == 404
        assert call("DELETE", f"/keys/{key.pk}")[0] == 404
    for beyond in ({"environment": None}, {"services": None}, {"services": ["orders", "x"]}):
        assert call("POST", "/keys", mine | beyond)[0] == 422
    assert call("DELETE", f"/keys/{made['id']}")[0] == 204


@pytest.mark.django_db
def test_a_person_is_let_in_changed_and_locked_out() -> None:
    Environment.objects.create(name="staging")
    call = Caller()
    made = call.post("/people", EVE | {"environments": ["staging"]})
    assert made["environments"] == ["staging"]
    assert PASSWORD not in json.dumps([made, call.get("/people"), call.get("/audit")])

    status, changed = call("PUT", f"/people/{made['id']}", {"role": "operator"})
    assert (status, changed["role"], changed["environments"]) == (200, "operator", [])
    password = {"password": PASSWORD + " anew"}
    assert call("PUT", f"/people/{made['id']}/password", password) == (204, None)
    assert Person.objects.get(username="eve").check_password(PASSWORD + " anew")
    call("PUT", f"/people/{made['id']}", {"role": "operator", "is_active": False})
    assert not Person.objects.get(username="eve").is_active
    acts = [entry["action"] for entry in call.get("/audit")["items"]][:4]
    assert acts == ["change_person", "set_password", "change_person", "create_person"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"username": ""}, "username"),
        ({"password": "short"}, "password"),
        ({"password": "\ud800" * 20}, "password"),
        ({"role": "king"}, "role"),
        ({"environments": ["nowhere"]}, "environments"),
    ],
)
def test_a_wrong_person_is_told_by_its_place(wrong: dict[str, Any], where: str) -> None:
    status, said = Caller()("POST", "/people", EVE | wrong)

    assert status == 422
    assert said["errors"][0]["loc"][0] == where
    assert not Person.objects.filter(username="eve").exists()


@pytest.mark.django_db
def test_limited_admins_make_nobody_and_nobody_changes_themselves() -> None:
    assert Caller(environment="prod")("POST", "/people", EVE)[0] == 403
    assert Caller(environment="prod")("GET", "/people")[0] == 403
    client = signed_in(Role.ADMIN)
    myself = Person.objects.get(role=Role.ADMIN)
    path, body = f"/api/v1/people/{myself.pk}", json.dumps({"role": "viewer"})

    assert client.put(path, body, content_type="application/json").status_code == 404


@pytest.mark.django_db
def test_the_last_admin_stays_one() -> None:
    first = Person.objects.create_person(username="one", password=PASSWORD, role=Role.ADMIN)
    second = Person.objects.create_person(username="two", password=PASSWORD, role=Role.ADMIN)
    call = Caller()

    assert call("PUT", f"/people/{first.pk}", {"role": "viewer"})[0] == 200
    assert call("PUT", f"/people/{second.pk}", {"role": "viewer"})[0] == 409
    assert call("PUT", f"/people/{second.pk}", {"role": "admin", "is_active": False})[0] == 409
    second.refresh_from_db()
    assert (second.role, second.is_active) == (Role.ADMIN, True)


async def test_a_key_revoked_by_the_api_ends_its_sockets(transactional_db: None) -> None:
    async with serve() as web:
        assert isinstance(web, Web)
        answer = await web.call("POST", "keys", {"name": "short", "scopes": ["agent", "read"]})
        made = answer.json()
        assert answer.headers["cache-control"] == "no-store"
        bearer = web.bearer(made["key"])
        async with (
            web.socket("/live/v1", **bearer) as live,
            web.socket("/agent/v1", **bearer) as agent,
        ):
            await web.call("DELETE", f"keys/{made['id']}", None)

            for socket in (live, agent):
                with pytest.raises(ConnectionClosed) as closed:
                    await asyncio.wait_for(socket.recv(), 30)
                assert closed.value.rcvd is not None
                assert closed.value.rcvd.code == 4401
        assert await ApiKey.objects.filter(name="short", revoked_at=None).acount() == 0
