"""The audit log, narrowed and exported."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from asgiref.sync import sync_to_async

from breakers import audit_read
from breakers.access import Actor
from breakers.audit import record
from breakers.models import AuditEntry, Role
from tests.alerts.api.callers import Caller
from tests.support.make import make_actor, make_key
from tests.support.people import signed_in, text_of
from tests.support.web import serve


def act(action: str, subject: str, *, by: str = "ada", environment: str | None = None) -> None:
    actor: Actor = make_actor(name=by)
    record(actor, action, kind="rule", id=subject[-1], subject=subject, environment=environment)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"actor": "AD"}, [2, 1]),
        ({"action": "create"}, [3, 1]),
        ({"action": "create rule"}, [3, 1]),
        ({"target": "rule 2"}, [2]),
        ({"target": "3"}, [3]),
        ({"subject": "2"}, [2]),
        ({"environment": "prod"}, [3]),
        ({"actor": "ada", "action": "delete"}, [2]),
        ({"actor": "nobody"}, []),
    ],
)
def test_it_is_narrowed_by_who_what_and_to_what(asked: dict[str, str], found: list[int]) -> None:
    call = Caller()
    act("create_rule", "Rule 1")
    act("delete_rule", "Rule 2")
    act("create_rule", "Rule 3", by="bob", environment="prod")

    told = call.get(f"/audit?{urlencode(asked)}")["items"]

    assert [
        int(entry["subject"]["id"]) for entry in told if entry["subject"]["kind"] == "rule"
    ] == found


@pytest.mark.django_db
def test_it_is_narrowed_by_time_which_includes_since_and_not_until() -> None:
    call = Caller()
    for n in range(3):
        act("create_rule", f"Rule {n}")
    middle = AuditEntry.objects.get(subject="Rule 1").at.isoformat()

    def found(**asked: str) -> list[str]:
        told = call.get(f"/audit?{urlencode({'action': 'create_rule'} | asked)}")["items"]
        return [entry["subject"]["name"] for entry in told]

    assert found(since=middle) == ["Rule 2", "Rule 1"]
    assert found(until=middle) == ["Rule 0"]
    assert found(since=middle, until=middle) == []
    assert call("GET", "/audit?since=yesterday")[0] == 422


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("said", "is_kept"),
    [
        ("deploy-7/step:2", True),
        ("x" * 100, True),
        ("x" * 101, False),
        ("two words", False),
        ("caf\xe9", False),
        ("tab\there", False),
        ("", False),
        ("pb-0e6c1a52-5f0f-4c6f-9d0c-3f1f1d4b7a11", False),
    ],
)
def test_the_id_that_a_caller_sends_is_kept_if_it_is_short_and_printable(
    said: str, is_kept: bool
) -> None:
    """Ours begin with `pb-` and nobody else's do, so that those are of one call."""
    call = Caller()
    call("PUT", "/policies/lever", {"stopped": True, "reason": "a drill"}, X_Request_ID=said)

    (entry,) = call.get("/audit?action=stop_policies")["items"]

    assert (entry["request_id"] == said) is is_kept
    assert entry["request_id"].startswith("pb-") is not is_kept
    asked = urlencode({"request": entry["request_id"], "actor": entry["actor"]["name"]})
    assert call.get(f"/audit?{asked}")["items"] == [entry]


@pytest.mark.django_db
def test_a_cursor_belongs_to_its_filter() -> None:
    call = Caller()
    for n in range(3):
        act("create_rule", f"Rule {n}")

    following = call.get("/audit?action=create_rule&limit=2")["next"]
    [last] = call.get(f"/audit?action=create_rule&limit=2&cursor={following}")["items"]
    assert last["subject"]["name"] == "Rule 0"
    assert call("GET", f"/audit?action=delete&cursor={following}")[0] == 422


@pytest.mark.django_db
def test_the_page_narrows_by_the_same_and_links_to_all_of_it() -> None:
    client = signed_in(Role.ADMIN)
    act("create_rule", "Rule 1")
    act("delete_rule", "Rule 2", by="bob")

    page = text_of(client, "/audit/?who=bob&since=2020-01-01T00:00")
    assert "Rule 2" in page
    assert "Rule 1" not in page
    assert "/api/v1/audit/export?actor=bob&amp;since=2020-01-01T00%3A00%3A00%2B00%3A00" in page
    assert "Nothing like that was done" in text_of(client, "/audit/?until=2020-01-01T00:00")
    assert "Rule 1" in text_of(client, "/audit/?since=nonsense")


async def test_an_export_streams_all_of_it_within_the_limits_in_portions(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_read, "_AT_ONCE", 7)

    def prepare() -> str:
        for n in range(30):
            act("create_rule", f"Rule {n}", environment="prod" if n % 2 else "staging")
        return make_key(scopes=["operate"], environment="prod")[1]

    async with serve() as web:
        limited = await sync_to_async(prepare)()

        async def export(key: str | None = None, **query: Any) -> list[dict[str, Any]]:
            async with web.http.stream(
                "GET", "/api/v1/audit/export", params=query, headers=web.bearer(key)
            ) as answer:
                assert answer.status_code == 200
                assert answer.headers["content-type"] == "application/x-ndjson"
                return [json.loads(line) async for line in answer.aiter_lines()]

        everything = await export(action="create_rule")
        assert everything == (await web.get("audit", action="create_rule", limit=1000))["items"]
        assert len(everything) == 30
        assert {entry["environment"] for entry in await export(limited)} == {"prod"}
        assert len(await export(limited)) == 15
        assert await export(actor="nobody") == []
        _, viewer = await sync_to_async(make_key)(scopes=["read"])
        refused = await web.http.get("/api/v1/audit/export", headers=web.bearer(viewer))
        assert refused.status_code == 403
