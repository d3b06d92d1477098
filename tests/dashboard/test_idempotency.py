"""`Idempotency-Key`: a call that is sent again is carried out once."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections, transaction
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from breakers.desired.revise import hold_all
from breakers.history.upkeep import forget_answers
from breakers.models import (
    AuditEntry,
    Breaker,
    Command,
    Environment,
    KeptAnswer,
    Person,
    Role,
)
from dashboard import idempotency
from dashboard.idempotency import IdempotencyMiddleware
from tests.support.eventually import eventually
from tests.support.make import make_breaker, make_channel, make_key

pytestmark = pytest.mark.django_db
TRIP = {"command": "trip", "reason": "by hand"}


@pytest.fixture
def bearer() -> str:
    _, text = make_key(scopes=("read", "operate", "admin"))
    return f"Bearer {text}"


def post(bearer: str, path: str, body: Any = None, key: str | None = "k1") -> HttpResponse:
    headers = {"Authorization": bearer} | ({} if key is None else {"Idempotency-Key": key})
    raw = body if isinstance(body, str) else json.dumps(body or {})
    return Client().post(f"/api/v1/{path}", raw, content_type="application/json", headers=headers)


def commands(breaker: Breaker) -> str:
    return f"breakers/{breaker.pk}/commands"


def test_the_first_answer_is_given_again_and_nothing_is_done_twice(bearer: str) -> None:
    breaker = make_breaker()

    first = post(bearer, commands(breaker), TRIP)
    again = post(bearer, commands(breaker), TRIP)

    assert (first.status_code, again.status_code) == (202, 202)
    assert again.content == first.content
    assert again["Content-Type"] == first["Content-Type"]
    assert "Idempotent-Replayed" not in first
    assert again["Idempotent-Replayed"] == "true"
    assert Command.objects.count() == 1
    assert AuditEntry.objects.filter(action="trip").count() == 1


def test_without_a_key_or_with_another_it_is_another_call(bearer: str) -> None:
    breaker = make_breaker()

    for key in ("k1", "k2", None, None):
        assert post(bearer, commands(breaker), TRIP, key).status_code == 202

    assert Command.objects.count() == 4


def test_a_key_belongs_to_its_actor_and_its_path(bearer: str) -> None:
    breaker, other = make_breaker(), make_breaker()
    _, text = make_key(scopes=("operate",))

    post(bearer, commands(breaker), TRIP)
    post(bearer, commands(other), TRIP)
    post(f"Bearer {text}", commands(breaker), TRIP)

    assert Command.objects.count() == 3


def test_another_body_under_the_same_key_is_refused(bearer: str) -> None:
    breaker = make_breaker()
    post(bearer, commands(breaker), TRIP)

    answer = post(bearer, commands(breaker), TRIP | {"command": "reset"})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == ["Idempotency-Key"]
    assert Command.objects.count() == 1


def test_the_same_said_otherwise_is_the_same(bearer: str) -> None:
    breaker = make_breaker()
    post(bearer, commands(breaker), '{"command": "trip", "reason": "x"}', '"k1"')

    again = post(bearer, commands(breaker), '{"reason":"x","command":"trip"}', "k1")

    assert again["Idempotent-Replayed"] == "true"


def test_what_was_refused_may_be_asked_again_mended(bearer: str) -> None:
    breaker = make_breaker()

    refused = post(bearer, commands(breaker), TRIP | {"reason": ""})
    mended = post(bearer, commands(breaker), TRIP)

    assert (refused.status_code, mended.status_code) == (422, 202)
    assert Command.objects.count() == 1


@pytest.mark.parametrize("key", ["", " ", "é", "k" * 201])
def test_an_odd_key_is_refused(bearer: str, key: str) -> None:
    answer = post(bearer, commands(make_breaker()), TRIP, key)

    assert answer.status_code == 422
    assert not Command.objects.exists()


def test_whoever_is_not_let_in_is_told_so_and_leaves_nothing() -> None:
    answer = post("Bearer wrong", commands(make_breaker()), TRIP)

    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == "Bearer"
    assert not KeptAnswer.objects.exists()


def test_after_a_day_the_key_is_forgotten(bearer: str) -> None:
    breaker = make_breaker()
    post(bearer, commands(breaker), TRIP)
    KeptAnswer.objects.update(created_at=timezone.now() - timedelta(hours=24, seconds=1))

    assert post(bearer, commands(breaker), TRIP).status_code == 202
    assert Command.objects.count() == 2
    assert forget_answers(timezone.now()) == 0
    assert forget_answers(timezone.now() + timedelta(hours=25)) == 1


def test_a_secret_in_the_answer_is_given_again_and_not_kept_in_the_clear(bearer: str) -> None:
    body = {"name": "hook", "kind": "webhook", "config": {"url": "https://example.com/x"}}

    first = post(bearer, "channels", body).json()
    again = post(bearer, "channels", body).json()

    assert again["secret"] == first["secret"]
    assert first["secret"] not in KeptAnswer.objects.get().sealed


def test_keys_of_one_actor_are_bounded(bearer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "KEYS_MOST", 2)
    breaker = make_breaker()

    answers = [post(bearer, commands(breaker), TRIP, key) for key in ("a", "b", "c", "a")]

    assert [answer.status_code for answer in answers] == [202, 202, 429, 202]
    assert answers[2]["Retry-After"]


def test_a_test_of_a_channel_is_sent_once(bearer: str) -> None:
    channel = make_channel()
    path = f"channels/{channel.pk}/test"

    first, again = post(bearer, path), post(bearer, path)

    assert first.json()["ok"]
    assert again.content == first.content
    assert AuditEntry.objects.filter(action="test_channel").count() == 1


def test_one_that_died_over_the_network_is_taken_over(bearer: str) -> None:
    path = f"channels/{make_channel().pk}/test"
    post(bearer, path)
    KeptAnswer.objects.update(status=None, sealed="")

    running = post(bearer, path)
    KeptAnswer.objects.update(created_at=timezone.now() - timedelta(seconds=61))
    taken_over = post(bearer, path)

    assert (running.status_code, taken_over.status_code) == (409, 200)
    assert AuditEntry.objects.filter(action="test_channel").count() == 2


def test_an_answer_that_fails_leaves_neither_effect_nor_key(
    bearer: str, rf: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(request: object) -> HttpResponse:
        make_breaker("made on the way")
        return HttpResponse(status=500)

    call = rf.post("/api/v1/x", headers={"Authorization": bearer, "Idempotency-Key": "k"})

    assert IdempotencyMiddleware(fails)(call).status_code == 500

    assert not KeptAnswer.objects.exists()
    assert not Breaker.objects.exists()


def in_threads(*calls: Callable[[], None]) -> list[threading.Thread]:
    def run(call: Callable[[], None]) -> None:
        try:
            call()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    return threads


@pytest.mark.django_db(transaction=True)
def test_a_second_call_while_the_first_runs_is_told_so_and_does_nothing(bearer: str) -> None:
    breaker = make_breaker()
    answers: list[HttpResponse] = []
    with transaction.atomic():
        hold_all([breaker.pk])  # the first call waits for it
        [first] = in_threads(lambda: answers.append(post(bearer, commands(breaker), TRIP)))
        eventually(lambda: is_refused(bearer, breaker), within=30)
    first.join(10)

    assert [answer.status_code for answer in answers] == [202]
    assert Command.objects.count() == 1
    assert post(bearer, commands(breaker), TRIP).content == answers[0].content


def is_refused(bearer: str, breaker: Breaker) -> bool:
    """Asked only once the first has begun: before that this would be the first itself, and wait for its own lock."""
    with connections["default"].cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        (held,) = cursor.fetchone()
    if not held:
        return False
    answers: list[HttpResponse] = []
    for thread in in_threads(lambda: answers.append(post(bearer, commands(breaker), TRIP))):
        thread.join(10)
    assert answers[0].status_code == 409
    assert answers[0]["Retry-After"] == "1"
    return True


@pytest.mark.parametrize("change", [{"role": Role.VIEWER}, {"environments": ["dev"]}])
def test_whoever_may_less_by_now_is_not_told_again(change: dict[str, Any]) -> None:
    person = Person.objects.create(username="ana", role=Role.ADMIN)
    client = Client()
    client.force_login(person)
    channel = {"name": "hook", "kind": "webhook", "config": {"url": "https://example.com/h"}}

    def create() -> HttpResponse:
        headers = {"Idempotency-Key": "k1"}
        return client.post(
            "/api/v1/channels", json.dumps(channel), "application/json", headers=headers
        )

    assert create().json()["secret"].startswith("whsec_")
    if "role" in change:
        Person.objects.filter(pk=person.pk).update(role=change["role"])
    else:
        person.environments.add(Environment.objects.create(name="dev"))

    again = create()

    assert again.status_code == 403
    assert b"whsec_" not in again.content
