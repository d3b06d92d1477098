"""`/people/` and `/password/`: who may, from where, and what ends when it changes."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from django.test import Client

from breakers.models import AuditEntry, Environment, Person, Role
from dashboard import attempts
from tests.support.people import PASSWORD, signed_in, text_of

pytestmark = pytest.mark.django_db
NEW = "another one, as long"


@pytest.fixture
def admin() -> Client:
    return signed_in(Role.ADMIN)


@pytest.fixture
def eve() -> Person:
    return Person.objects.create_person(username="eve", password=PASSWORD, role=Role.VIEWER)


def signs_in(name: str, password: str) -> bool:
    return Client().login(username=name, password=password)


def test_a_person_is_made_changed_and_locked_out(admin: Client) -> None:
    admin.post("/people/", {"username": "eve", "password": PASSWORD, "role": "viewer"})
    eve = Person.objects.get(username="eve")

    admin.post("/people/", {"person": eve.pk, "role": "operator"})
    admin.post("/people/", {"person": eve.pk, "active": "no"})

    eve.refresh_from_db()
    assert (eve.role, eve.is_active) == (Role.OPERATOR, False)
    assert not signs_in("eve", PASSWORD)


def test_environments_are_changed_and_audited(admin: Client, eve: Person) -> None:
    Environment.objects.create(name="staging")

    admin.post("/people/", {"person": eve.pk, "limits": "yes", "environments": "staging"})
    assert [one.name for one in eve.environments.all()] == ["staging"]
    assert 'value="staging" checked' in text_of(admin, f"/people/?change={eve.pk}")

    admin.post("/people/", {"person": eve.pk, "limits": "yes", "role": "operator"})
    assert not eve.environments.exists()

    entry = AuditEntry.objects.filter(action="change_person").latest("id")
    assert entry.before == {"role": "viewer", "is_active": True, "environments": ["staging"]}
    assert entry.after == {"role": "operator", "is_active": True, "environments": []}


@pytest.mark.parametrize("name", ["nowhere", "a\0b"])
def test_an_unknown_environment_changes_nothing(admin: Client, eve: Person, name: str) -> None:
    answer = admin.post("/people/", {"person": eve.pk, "limits": "yes", "environments": name})

    assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert "no such environment" in answer.content.decode()
    assert not AuditEntry.objects.filter(action="change_person").exists()


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"username": "", "password": PASSWORD, "role": "viewer"}, "1 to 150"),
        ({"username": "a admin", "password": PASSWORD, "role": "viewer"}, "has this name"),
        # Stored as "fin", which is what is looked for.
        ({"username": "\N{LATIN SMALL LIGATURE FI}n", "password": PASSWORD, "role": "viewer"}, "has this name"),
        # One character that is stored as eighteen.
        ({"username": "\ufdfa" * 9, "password": PASSWORD, "role": "viewer"}, "1 to 150"),
        ({"username": "eve", "password": "short", "role": "viewer"}, "too short"),
        ({"username": "eve", "password": PASSWORD, "role": "king"}, "One of"),
        ({"username": "a\0b", "password": PASSWORD, "role": "viewer"}, "1 to 150"),
    ],
)  # fmt: skip
def test_a_wrong_person_is_explained_beside_the_field(
    admin: Client, said: dict[str, str], why: str
) -> None:
    Person.objects.create_person(username="fin", password=PASSWORD, role=Role.VIEWER)

    answer = admin.post("/people/", said)

    assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert why in answer.content.decode()


def test_nobody_changes_their_own_role(admin: Client) -> None:
    me = Person.objects.get(username="a admin")

    for said in ({"role": "viewer"}, {"password": NEW}, {"active": "no"}):
        assert admin.post("/people/", {"person": me.pk, **said}).status_code == HTTPStatus.NOT_FOUND


def test_a_limited_admin_makes_nobody(admin: Client, eve: Person) -> None:
    limited = signed_in_as_limited_admin()

    for said in (
        {"username": "mallory", "password": PASSWORD, "role": "admin"},
        {"person": eve.pk, "password": NEW},
    ):
        assert limited.post("/people/", said).status_code == HTTPStatus.FORBIDDEN
    assert not Person.objects.filter(username="mallory").exists()
    assert signs_in("eve", PASSWORD)


def signed_in_as_limited_admin() -> Client:
    person = Person.objects.create_person(username="lim", password=PASSWORD, role=Role.ADMIN)
    person.environments.add(Environment.objects.create(name="staging"))
    client = Client()
    client.force_login(person)
    return client


def test_a_new_password_by_an_admin_ends_the_old_one_and_its_sessions(
    admin: Client, eve: Person
) -> None:
    theirs = Client()
    assert theirs.login(username="eve", password=PASSWORD)

    admin.post("/people/", {"person": eve.pk, "password": NEW})

    assert theirs.get("/").status_code == HTTPStatus.FOUND
    assert (signs_in("eve", PASSWORD), signs_in("eve", NEW)) == (False, True)
    entry = AuditEntry.objects.filter(action="set_password").latest("id")
    assert (entry.actor_name, entry.subject) == ("a admin", "eve")
    assert NEW not in str(AuditEntry.objects.filter(pk=entry.pk).values())


def test_a_weak_password_is_explained_and_not_set(admin: Client, eve: Person) -> None:
    answer = admin.post("/people/", {"person": eve.pk, "password": "short"})

    assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert "too short" in answer.content.decode()
    assert signs_in("eve", PASSWORD)


@pytest.mark.parametrize("role", list(Role))
def test_everybody_changes_their_own_password_and_stays_signed_in_here_alone(role: Role) -> None:
    here, elsewhere = signed_in(role), Client()
    name = f"a {role}"
    elsewhere.login(username=name, password=PASSWORD)

    answer = here.post("/password/", {"now": PASSWORD, "new": NEW, "again": NEW})

    assert answer["Location"] == "/password/"
    assert "Your password is changed" in text_of(here, "/password/")
    assert elsewhere.get("/").status_code == HTTPStatus.FOUND
    assert (signs_in(name, PASSWORD), signs_in(name, NEW)) == (False, True)
    entry = AuditEntry.objects.latest("id")
    assert (entry.action, entry.actor_name, entry.subject) == ("set_password", name, name)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"now": "wrong"}, "not your password"),
        ({"now": "a\0b"}, "not your password"),
        ({"again": "something else"}, "not the same"),
        ({"new": "short", "again": "short"}, "too short"),
        ({"new": "", "again": ""}, "too short"),
    ],
)
def test_what_is_wrong_with_a_new_password_stands_beside_its_field(
    said: dict[str, str], why: str
) -> None:
    client = signed_in(Role.VIEWER)

    answer = client.post("/password/", {"now": PASSWORD, "new": NEW, "again": NEW} | said)

    assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert why in answer.content.decode()
    assert signs_in("a viewer", PASSWORD)


def test_an_open_window_is_no_place_to_guess_in(eve: Person) -> None:
    client = Client(REMOTE_ADDR="2001:db8::e5e")
    client.force_login(eve)
    for _ in range(attempts.PER_PAIR):
        attempts.count_try("eve", "2001:db8::e5e")

    answer = client.post("/password/", {"now": PASSWORD, "new": NEW, "again": NEW})

    assert answer.status_code == HTTPStatus.TOO_MANY_REQUESTS
    assert signs_in("eve", PASSWORD)
    attempts.take_back("eve", "2001:db8::e5e")
