from __future__ import annotations

import uuid

import pytest
from django.test import Client

from breakers.models import Person, Role
from dashboard import attempts

pytestmark = pytest.mark.django_db


def sign_in(client: Client, name: str, password: str, *, address: str) -> int:
    body = {"username": name, "password": password}
    return client.post("/login/", body, REMOTE_ADDR=address).status_code


@pytest.fixture
def name() -> str:
    """A name that no other test counts against."""
    made = f"ada-{uuid.uuid4().hex}"
    Person.objects.create_person(username=made, password="right", role=Role.VIEWER)
    return made


def test_after_too_many_failures_even_the_right_password_waits(client: Client, name: str) -> None:
    address = f"10.0.0.{uuid.uuid4().int % 250}"
    for _ in range(attempts.PER_NAME):
        assert sign_in(client, name, "wrong", address=address) == 200

    assert sign_in(client, name, "right", address=address) == 429
    assert sign_in(client, name, "right", address="192.0.2.77") == 429


def test_the_right_password_begins_the_count_anew(client: Client, name: str) -> None:
    address = f"10.0.1.{uuid.uuid4().int % 250}"
    for _ in range(attempts.PER_NAME - 1):
        sign_in(client, name, "wrong", address=address)
    assert sign_in(client, name, "right", address=address) == 302
    client.logout()

    assert sign_in(client, name, "wrong", address=address) == 200


def test_one_address_cannot_try_many_names(client: Client, name: str) -> None:
    address = f"10.{uuid.uuid4().int % 250}.2.1"
    for number in range(attempts.PER_ADDRESS):
        attempts.note_failure(f"someone-{number}", address)

    assert sign_in(client, name, "right", address=address) == 429
