from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

import pytest
from django.db import ProgrammingError, connection, transaction
from django.test import Client
from django.utils import timezone

from breakers.models import AuditEntry, Breaker, Environment, Instance, Override, Person, Role
from tests.support.make import make_breaker, make_instance, make_key

pytestmark = pytest.mark.django_db

FORCE: dict[str, Any] = {"mode": "forced_open", "reason": "maintenance", "expires_in": 600}
ROLE_CASES = [("viewer", 403), ("operator", 200), ("admin", 200)]


def bearer(*scopes: str, **limits: Any) -> dict[str, str]:
    _, text = make_key(name="k", scopes=scopes, **limits)
    return {"Authorization": f"Bearer {text}"}


def sign_in(role: str, *, environments: tuple[str, ...] = (), csrf: bool = False) -> Client:
    person = Person.objects.create_person(username=role, password="irrelevant", role=Role(role))
    person.environments.set(Environment.objects.filter(name__in=environments))
    client = Client(enforce_csrf_checks=csrf)
    client.force_login(person)
    return client


def put(client: Client, breaker: Breaker, body: dict[str, Any] = FORCE, **more: Any) -> Any:
    path = f"/api/v1/breakers/{breaker.pk}/override"
    return client.put(path, body, content_type="application/json", **more)


def delete(client: Client, breaker: Breaker, body: dict[str, Any], **more: Any) -> Any:
    path = f"/api/v1/breakers/{breaker.pk}/override"
    return client.delete(path, body, content_type="application/json", **more)


@pytest.mark.parametrize(("role", "status"), ROLE_CASES)
def test_a_role_is_enforced_on_control(role: str, status: int) -> None:
    assert put(sign_in(role), make_breaker()).status_code == status


def test_the_summary_counts_what_an_override_holds_that_would_be_open() -> None:
    breaker = make_breaker(instances=())
    make_instance(breaker, "a", state="forced_closed", natural_state="open")
    make_instance(breaker, "b", state="forced_closed", natural_state="closed")
    make_instance(breaker, "c", state="open", natural_state="open")

    said = Client().get(f"/api/v1/breakers/{breaker.pk}", headers=bearer("read")).json()

    assert said["naturally_open"] == 1


def test_a_cookie_needs_the_csrf_token() -> None:
    answer = put(sign_in("admin", csrf=True), make_breaker())

    assert answer.status_code == 403
    assert not Override.objects.exists()


def test_nobody_is_unauthenticated_and_a_scope_comes_before_the_look_up(client: Client) -> None:
    breaker = make_breaker()
    path = f"/api/v1/breakers/{breaker.pk + 1}/override"

    missing = client.put(path, FORCE, content_type="application/json", headers=bearer("read"))

    assert put(client, breaker).status_code == 401
    assert missing.status_code == 403


def test_outside_the_limits_is_not_found(client: Client) -> None:
    breaker = make_breaker(environment="prod")
    Environment.objects.create(name="dev")

    by_key = put(client, breaker, headers=bearer("operate", environment="dev"))
    by_person = put(sign_in("operator", environments=("dev",)), breaker)

    assert by_key.status_code == 404
    assert by_person.status_code == 404


def test_an_override_raises_the_revision_and_is_audited(client: Client) -> None:
    breaker = make_breaker()

    first = put(client, breaker, headers=bearer("operate")).json()
    second = put(client, breaker, FORCE | {"mode": "forced_closed"}, headers=bearer("operate"))

    assert second.json()["revision"] == first["revision"] + 1
    newest = AuditEntry.objects.latest("id")
    assert (newest.action, newest.reason) == ("override", "maintenance")
    assert newest.before is not None
    assert newest.after is not None
    assert (newest.before["mode"], newest.after["mode"]) == ("forced_open", "forced_closed")
    assert newest.address == "127.0.0.1"
    assert Override.objects.filter(ended_at=None).count() == 1


def test_a_stale_revision_changes_nothing(client: Client) -> None:
    breaker, headers = make_breaker(), bearer("operate")
    revision = put(client, breaker, headers=headers).json()["revision"]

    stale = put(client, breaker, headers=headers | {"If-Match": f'"{revision - 1}"'})
    fresh = put(client, breaker, headers=headers | {"If-Match": f'"{revision}"'})

    assert stale.status_code == 412
    assert fresh.status_code == 200


BAD_WISHES = {
    "no reason": ({"mode": "forced_open", "expires_in": 60}, ["reason"]),
    "an empty reason": (FORCE | {"reason": "  "}, ["reason"]),
    "NUL in the reason": (FORCE | {"reason": "a\0b"}, ["reason"]),
    "no expiry": ({"mode": "forced_open", "reason": "x"}, ["expires_in"]),
    "two expiries": (FORCE | {"no_expiry": True}, ["expires_in"]),
    "an unknown mode": (FORCE | {"mode": "open"}, ["mode"]),
    "an expiry in the past": (
        {"mode": "forced_open", "reason": "x", "expires_at": "2020-01-01T00:00:00Z"},
        ["expires_at"],
    ),
    "an expiry without a zone": (
        {"mode": "forced_open", "reason": "x", "expires_at": "2999-01-01T00:00:00"},
        ["expires_at"],
    ),
    "an endless time": (FORCE | {"expires_in": 1e300}, ["expires_in"]),
    "a negative time": (FORCE | {"expires_in": -1}, ["expires_in"]),
    "no instances": (FORCE | {"instances": []}, ["instances"]),
    "names and exceptions": (FORCE | {"instances": ["a"], "except": ["b"]}, ["except"]),
}


@pytest.mark.parametrize("name", BAD_WISHES)
def test_an_odd_wish_is_refused_with_its_place(client: Client, name: str) -> None:
    body, loc = BAD_WISHES[name]
    breaker = make_breaker()

    answer = put(client, breaker, body, headers=bearer("operate"))

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"][0]["loc"] == loc
    assert not Override.objects.exists()


def test_a_release_needs_something_to_release_and_a_reason(client: Client) -> None:
    breaker, headers = make_breaker(), bearer("operate")
    assert delete(client, breaker, {"reason": "x"}, headers=headers).status_code == 404
    put(client, breaker, headers=headers)

    without = delete(client, breaker, {}, headers=headers)
    released = delete(client, breaker, {"reason": "back"}, headers=headers)

    assert without.status_code == 422
    assert released.status_code == 200
    assert Override.objects.get().end == "released"


@pytest.mark.parametrize(("offset", "status"), [(0, 200), (-1, 412)])
def test_a_release_minds_the_revision_too(client: Client, offset: int, status: int) -> None:
    breaker, headers = make_breaker(), bearer("operate")
    revision = put(client, breaker, headers=headers).json()["revision"]
    if_match = {"If-Match": f'"{revision + offset}"'}

    answer = delete(client, breaker, {"reason": "back"}, headers=headers | if_match)

    assert answer.status_code == status
    assert Override.objects.filter(ended_at=None).exists() == (status == 412)


def test_instances_that_cannot_obey_are_named(client: Client) -> None:
    breaker, headers = make_breaker(instances=["one", "two"]), bearer("operate")
    Instance.objects.filter(name="one").update(connected=True)
    command = {"command": "trip", "reason": "x"}

    forced = put(client, breaker, headers=headers).json()
    excepted = put(client, breaker, FORCE | {"except": ["two"]}, headers=headers).json()
    tripped = client.post(
        f"/api/v1/breakers/{breaker.pk}/commands",
        command,
        content_type="application/json",
        headers=headers,
    ).json()

    assert (forced["unreachable"], excepted["unreachable"]) == (["two"], [])
    assert tripped["unreachable"] == ["two"]


def test_names_that_nobody_bears_are_taken_and_named(client: Client) -> None:
    breaker, headers = make_breaker(instances=["one", "two", "gone"]), bearer("operate")
    Instance.objects.filter(name="one").update(connected=True)
    Instance.objects.filter(name="gone").update(connected=False, retired_at=timezone.now())
    make_breaker("main", service="feed", instances=["elsewhere"])
    named = FORCE | {"instances": ["typo", "two", "one", "gone", "elsewhere", "typo"]}

    later = (timezone.now() + timedelta(hours=1)).isoformat()

    forced = put(client, breaker, named, headers=headers)
    planned = put(client, breaker, named | {"starts_at": later}, headers=headers).json()
    excepted = put(client, breaker, FORCE | {"except": ["typo"]}, headers=headers).json()

    assert forced.status_code == 200
    assert forced.json()["unreachable"] == ["two", "elsewhere", "gone", "typo"]
    assert planned["unreachable"] == forced.json()["unreachable"]
    assert excepted["unreachable"] == ["two"]


def test_a_summary_counts_the_names_that_nobody_bears_until_one_comes(client: Client) -> None:
    breaker, headers = make_breaker(instances=["one", "lost"]), bearer("operate", "read")
    Instance.objects.update(connected=True)
    Instance.objects.filter(name="lost").update(connected=False, lost_at=timezone.now())

    def standing(*names: str) -> tuple[int, int, int]:
        put(client, breaker, FORCE | {"instances": names}, headers=headers)
        return seen()

    def seen() -> tuple[int, int, int]:
        told = client.get(f"/api/v1/breakers/{breaker.pk}", headers=headers).json()["override"]
        return told["applied"], told["pending"], told["not_known"]

    assert standing("one", "lost") == (0, 1, 0)
    assert standing("typo", "typo", "other") == (0, 0, 2)
    assert standing("one", "other") == (0, 1, 1)
    make_instance(breaker, "other")
    assert seen() == (0, 2, 0)
    put(client, breaker, headers=headers)
    assert seen() == (0, 2, 0)


def test_an_override_without_expiry_is_said_aloud(client: Client) -> None:
    body = {"mode": "forced_closed", "reason": "x", "no_expiry": True}

    answer = put(client, make_breaker(), body, headers=bearer("operate"))

    assert answer.json()["expires_at"] is None


def test_a_command_to_an_unknown_instance_is_refused(client: Client) -> None:
    breaker = make_breaker(instances=["one"])
    path = f"/api/v1/breakers/{breaker.pk}/commands"
    body = {"command": "trip", "reason": "x", "instances": ["two"]}

    answer = client.post(path, body, content_type="application/json", headers=bearer("operate"))

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == ["instances"]


@pytest.mark.parametrize("id", ["abc", "-1", "1e3", "9" * 40, "٣", "0{id}"])
def test_a_malformed_id_is_not_found(client: Client, id: str) -> None:
    id = id.format(id=make_breaker().pk)
    assert client.get(f"/api/v1/breakers/{id}", headers=bearer("read")).status_code == 404


def test_targets_come_in_pages(client: Client) -> None:
    for n, target in enumerate("abcab"):
        make_breaker(f"b{n}", target=target)
    headers = bearer("read")

    first = client.get("/api/v1/targets?limit=2", headers=headers).json()
    second = client.get(f"/api/v1/targets?limit=2&cursor={first['next']}", headers=headers).json()

    assert [(one["target"], one["breakers"]) for one in first["items"]] == [("c", 1), ("b", 2)]
    assert [(one["target"], one["breakers"]) for one in second["items"]] == [("a", 2)]
    assert second["next"] is None
    assert client.get("/api/v1/targets?limit=0", headers=headers).status_code == 422


def test_pages_are_whole_and_a_foreign_cursor_is_refused(client: Client) -> None:
    made = {str(make_breaker(f"b{number}").pk) for number in range(7)}
    headers = bearer("read")
    seen: list[str] = []
    cursor = ""
    while True:
        page = client.get(f"/api/v1/breakers?limit=3&cursor={cursor}", headers=headers).json()
        seen += [item["id"] for item in page["items"]]
        if page["next"] is None:
            break
        cursor = page["next"]

    foreign = client.get(f"/api/v1/breakers?q=other&cursor={cursor}", headers=headers)

    assert len(seen) == len(set(seen)) == 7
    assert set(seen) == made
    assert foreign.status_code == 422


def test_the_audit_log_needs_operate_and_keeps_to_limits(client: Client) -> None:
    put(client, make_breaker(environment="prod"), headers=bearer("operate"))
    put(client, make_breaker(environment="dev"), headers=bearer("operate"))

    reader = client.get("/api/v1/audit", headers=bearer("read"))
    limited = client.get("/api/v1/audit", headers=bearer("operate", environment="dev")).json()

    assert reader.status_code == 403
    assert [entry["environment"] for entry in limited["items"]] == ["dev"]


@pytest.mark.parametrize(
    "statement",
    ["UPDATE audit_entry SET reason = 'x'", "DELETE FROM audit_entry", "TRUNCATE audit_entry"],
)
def test_the_audit_log_cannot_be_changed_by_the_program(client: Client, statement: str) -> None:
    put(client, make_breaker(), headers=bearer("operate"))

    with pytest.raises(ProgrammingError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)

    assert AuditEntry.objects.filter(action="override", reason="maintenance").count() == 1


def test_the_programs_role_owns_no_table() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_tables WHERE tableowner = current_user")
        assert cursor.fetchone() == (0,)


def test_a_revoked_key_is_unauthenticated(client: Client) -> None:
    from breakers.models import ApiKey

    headers = bearer("read")
    ApiKey.objects.update(revoked_at=timezone.now() - timedelta(seconds=1))

    assert client.get("/api/v1/breakers", headers=headers).status_code == 401


@pytest.mark.parametrize(
    "position", ["[1e999]", "[99999999999999999999]", "[" * 5000, '["a\\u0000"]', "[]", "{}", "nul"]
)
def test_a_cursor_cannot_be_made_up(client: Client, position: str) -> None:
    cursor = base64.urlsafe_b64encode(position.encode()).decode()

    for path in ("breakers", "audit", "services", "overrides", "rules", "incidents"):
        answer = client.get(
            f"/api/v1/{path}", {"cursor": cursor}, headers=bearer("read", "operate")
        )
        assert answer.status_code == 422, path


@pytest.mark.parametrize(
    ("if_match", "status"),
    [
        ('"{now}"', 200),
        ("{now}", 200),
        ('"7777", "{now}"', 200),
        ('W/"7777", "{now}"', 200),
        ("*", 200),
        ('W/"{now}"', 412),
        ('"7777", "8888"', 412),
        ('W/"7777", W/"{now}"', 412),
        ('"*"', 412),
        ("nonsense", 412),
        ('"0{now}"', 412),
        ('"a,{now},b"', 412),
        ('nonsense, "{now}"', 200),
        ('"{now}" "7777"', 412),
        (f'"{10**30}"', 412),
        (",", 412),
        ("", 412),
    ],
)
def test_if_match_takes_a_list_and_compares_strongly(if_match: str, status: int) -> None:
    breaker = make_breaker()
    headers = bearer("operate") | {"If-Match": if_match.format(now=breaker.revision)}

    assert put(Client(), breaker, headers=headers).status_code == status
    assert Override.objects.exists() == (status == 200)


def test_what_hands_did_is_told_to_whoever_sees_the_breaker(client: Client) -> None:
    breaker, headers = make_breaker(), bearer("operate")
    command = {"command": "trip", "reason": "to see"}
    path = f"/api/v1/breakers/{breaker.pk}"
    client.post(f"{path}/commands", command, content_type="application/json", headers=headers)
    put(client, breaker, headers=headers)

    newest, oldest = client.get(f"{path}/acts", headers=bearer("read")).json()["items"]

    assert (oldest["act"], oldest["by"], oldest["reason"]) == ("trip", "k", "to see")
    assert (newest["act"], newest["mode"], newest["revision"]) == ("override", "forced_open", 2)
    assert "address" not in newest
