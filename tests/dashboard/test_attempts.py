from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
from django.test import Client

from breakers.models import Person, Role
from dashboard import attempts
from tests.support.stack import Stack

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


@pytest.fixture
def new_address() -> Callable[[], str]:
    """Addresses that no other test counts against."""
    return lambda: f"2001:db8::{uuid.uuid4().hex[:4]}:{uuid.uuid4().hex[:4]}"


def test_after_too_many_failures_even_the_right_password_waits(
    client: Client, name: str, new_address: Callable[[], str]
) -> None:
    address = new_address()
    for _ in range(attempts.PER_PAIR):
        assert sign_in(client, name, "wrong", address=address) == 200

    assert sign_in(client, name, "right", address=address) == 429


def test_strangers_lock_nobody_out_elsewhere(
    client: Client, name: str, new_address: Callable[[], str]
) -> None:
    stranger = new_address()
    for _ in range(attempts.PER_PAIR + 1):
        sign_in(client, name, "wrong", address=stranger)

    assert sign_in(client, name, "right", address=new_address()) == 302


def test_the_right_password_begins_the_count_anew(
    client: Client, name: str, new_address: Callable[[], str]
) -> None:
    address = new_address()
    for _ in range(attempts.PER_PAIR - 1):
        sign_in(client, name, "wrong", address=address)
    assert sign_in(client, name, "right", address=address) == 302
    client.logout()

    assert sign_in(client, name, "wrong", address=address) == 200


def test_one_address_cannot_try_many_names(
    client: Client, name: str, new_address: Callable[[], str]
) -> None:
    address = new_address()
    for number in range(attempts.PER_ADDRESS):
        assert attempts.count_try(f"someone-{number}", address) == 0

    assert sign_in(client, name, "right", address=address) == 429


def test_right_passwords_fill_no_bound_of_an_address(
    client: Client, name: str, new_address: Callable[[], str]
) -> None:
    address = new_address()
    for number in range(attempts.PER_ADDRESS + 1):
        attempts.count_try(f"colleague-{number}", address)
        attempts.take_back(f"colleague-{number}", address)

    assert sign_in(client, name, "right", address=address) == 302


def test_a_name_tried_from_everywhere_is_slowed_and_not_locked(
    name: str, new_address: Callable[[], str]
) -> None:
    home = new_address()
    attempts.count_try(name, home)
    attempts.take_back(name, home)
    for _ in range(attempts.PER_NAME):
        assert attempts.count_try(name, new_address()) == 0

    assert attempts.count_try(name, new_address()) == 0  # takes the turn
    assert 1 <= attempts.count_try(name, new_address()) <= attempts.TURN_S
    # From where they signed in lately, people wait for no stranger.
    assert attempts.count_try(name, home) == 0


def test_with_redis_away_nobody_is_kept_out(
    client: Client, name: str, settings: Any, new_address: Callable[[], str]
) -> None:
    address = new_address()
    for _ in range(attempts.PER_PAIR):
        assert attempts.count_try(name, address) == 0
    settings.REDIS_URL = "redis://127.0.0.1:9/0"  # nobody listens there
    attempts._client.cache_clear()
    try:
        assert sign_in(client, name, "right", address=address) == 302
    finally:
        attempts._client.cache_clear()


def test_guesses_at_once_count_like_guesses_in_a_row(live_stack: Stack) -> None:
    name = f"nobody-{uuid.uuid4().hex}"

    def guess(number: int) -> int:
        with httpx2.Client(base_url=live_stack.url, trust_env=False, timeout=30) as browser:
            browser.get("/login/")
            said = {
                "username": name,
                "password": f"guess {number}",
                "csrfmiddlewaretoken": browser.cookies["csrftoken"],
            }
            answer = browser.post("/login/", data=said)
            while answer.status_code == 503:  # a slow machine: no room for 5 s, and no guess
                answer = browser.post("/login/", data=said)
            return answer.status_code

    with ThreadPoolExecutor(30) as crowd:
        answers = Counter(crowd.map(guess, range(30)))

    assert answers == {200: attempts.PER_PAIR, 429: 30 - attempts.PER_PAIR}
