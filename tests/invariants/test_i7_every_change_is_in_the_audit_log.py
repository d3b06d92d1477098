"""I7: whatever changes rules, channels, keys or people stands in the audit log, from wherever it is done.

That the database itself refuses to change a line of the log is in `tests/breakers/test_control_api.py`.
"""

from __future__ import annotations

import getpass
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from breakers.access import actor_of_command
from breakers.first_run import ensure_admin, ensure_bootstrap_key
from breakers.models import ApiKey, AuditEntry, Person, Role
from tests.support.people import PASSWORD, signed_in
from tests.support.stack import Stack

PREPARE = actor_of_command("prepare")
KEY = "a bootstrap key of more than 24"
NEW = "another one, as long"


def log() -> list[tuple[str, str, str, str]]:
    entries = AuditEntry.objects.order_by("id")
    return [(e.actor_kind, e.actor_name, e.action, e.subject) for e in entries]


@pytest.mark.django_db
def test_a_key_made_by_command() -> None:
    call_command("create_api_key", "ci", scopes="ingest,agent", environment="prod")

    assert log() == [("server", "manage.py create_api_key", "create_key", "ci")]
    assert AuditEntry.objects.get().after == {
        "scopes": ["agent", "ingest"],
        "environment": "prod",
        "services": None,
        "events_per_second": None,
        "names_max": None,
        "revoked": False,
    }


@pytest.mark.django_db
def test_the_first_admin_and_the_password_that_the_environment_sets() -> None:
    ensure_admin("first password", by=PREPARE)
    ensure_admin("first password", by=PREPARE)
    ensure_admin("second password", by=PREPARE)

    assert log() == [
        ("server", "manage.py prepare", "create_person", "admin"),
        ("server", "manage.py prepare", "set_password", "admin"),
    ]
    assert "password" not in str(list(AuditEntry.objects.values_list("before", "after")))


@pytest.mark.django_db
def test_the_bootstrap_key_and_its_return_after_it_was_revoked() -> None:
    ensure_bootstrap_key(KEY, by=PREPARE)
    ensure_bootstrap_key(KEY, by=PREPARE)
    client = signed_in(Role.ADMIN)
    client.post("/keys/", {"revoke": ApiKey.objects.get().pk})
    ensure_bootstrap_key(KEY, by=PREPARE)

    assert log() == [
        ("server", "manage.py prepare", "create_key", "bootstrap"),
        ("person", "a admin", "revoke_key", "bootstrap"),
        ("server", "manage.py prepare", "change_key", "bootstrap"),
    ]
    assert KEY not in str(list(AuditEntry.objects.values()))


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What somebody types at the prompts of a command, in order."""
    words: list[str] = []

    def read(prompt: str = "", stream: Any = None) -> str:
        return words.pop(0)

    monkeypatch.setattr(getpass, "getpass", read)
    return words


@pytest.mark.django_db
def test_a_password_changed_by_command(typed: list[str]) -> None:
    Person.objects.create_person(username="eve", password=PASSWORD, role=Role.VIEWER)
    typed += [NEW, NEW]

    call_command("changepassword", "eve")

    assert Person.objects.get().check_password(NEW)
    assert log() == [("server", "manage.py changepassword", "set_password", "eve")]


@pytest.mark.django_db
def test_a_password_that_was_not_changed_leaves_no_entry(typed: list[str]) -> None:
    Person.objects.create_person(username="eve", password=PASSWORD, role=Role.VIEWER)
    typed += [NEW, "not the same"] * 3

    with pytest.raises(CommandError):
        call_command("changepassword", "eve")

    assert log() == []


def test_what_the_first_start_makes(live_stack: Stack) -> None:
    with live_stack.client() as client:
        entries = client.get("/api/v1/audit?limit=1000").json()["items"]

    made = [(e["action"], e["actor"]["kind"], e["actor"]["name"]) for e in entries]
    assert ("create_person", "server", "manage.py prepare") in made
    assert ("create_key", "server", "manage.py prepare") in made


@pytest.mark.django_db
def test_what_is_done_on_the_pages() -> None:
    admin = signed_in(Role.ADMIN)

    admin.post("/people/", {"username": "eve", "password": PASSWORD, "role": "viewer"})
    eve = Person.objects.get(username="eve")
    admin.post("/people/", {"person": eve.pk, "role": "operator"})
    admin.post("/people/", {"person": eve.pk, "password": NEW})
    admin.post("/keys/", {"name": "orders", "scopes": "ingest"})
    admin.post("/keys/", {"revoke": ApiKey.objects.get(name="orders").pk})
    admin.post("/connect/", {"environment": "dev"})
    admin.post("/password/", {"now": PASSWORD, "new": NEW, "again": NEW})

    assert [(action, subject) for _, _, action, subject in log()] == [
        ("create_person", "eve"),
        ("change_person", "eve"),
        ("set_password", "eve"),
        ("create_key", "orders"),
        ("revoke_key", "orders"),
        ("create_key", "first key of a admin"),
        ("set_password", "a admin"),
    ]
    assert {kind for kind, *_ in log()} == {"person"}
