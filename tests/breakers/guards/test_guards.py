"""The guard and the confirmation, through the API, and how one might try to get around them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from breakers.access import Actor
from breakers.desired.override import OverrideWish, override_breaker
from breakers.models import Approval, AuditEntry, Breaker, Instance, Override
from breakers.states import Mode
from tests.breakers.guards.callers import (
    command,
    force,
    key,
    limit,
    person,
    release,
    told_to_alerts,
)
from tests.support.make import make_breaker

HALF = {"guard": {"max_forced_percent": 50}}
GLASS = {"break_glass": "max_forced_percent"}


def breakers(count: int = 4, **more: Any) -> list[Breaker]:
    return [make_breaker(**more) for _ in range(count)]


@pytest.mark.django_db
def test_more_than_the_percentage_of_a_service_cannot_be_forced() -> None:
    first, second, third, _ = breakers()
    limit(**HALF)
    ada = person()

    answers = [force(ada, one) for one in (first, second, third)]

    assert [one.status_code for one in answers] == [200, 200, 409]
    told = answers[2].json()
    assert told["guard"] == "max_forced_percent"
    assert "max_forced_percent" in told["detail"]
    assert answers[2]["Content-Type"] == "application/problem+json"
    third.refresh_from_db()
    assert third.revision == 0
    assert AuditEntry.objects.filter(action="override").count() == 2


@pytest.mark.django_db
def test_everybodys_overrides_count_and_every_services_own() -> None:
    first, second, third, _ = breakers()
    elsewhere = make_breaker(service="billing")
    limit(**HALF)

    assert force(person("ada"), first).status_code == 200
    assert force(key(), second, mode="forced_closed").status_code == 200
    assert force(person("bob"), third).status_code == 409
    assert force(person("bob"), elsewhere).status_code == 200


@pytest.mark.django_db
def test_named_instances_do_not_make_it_less_of_a_forced_breaker() -> None:
    first, second, third = (make_breaker(instances=("a", "b")) for _ in range(3))
    limit(guard={"max_forced_percent": 34})
    ada = person()

    assert force(ada, first, instances=["a"]).status_code == 200
    assert force(ada, second, instances=["a"]).status_code == 200
    assert force(ada, third, instances=["b"]).status_code == 409


@pytest.mark.django_db
def test_only_live_breakers_count() -> None:
    first, second = breakers(2)
    gone = make_breaker(instances=("gone",))
    Instance.objects.filter(name="gone").update(lost_at=timezone.now())
    limit(**HALF)
    ada = person()

    assert force(ada, first).status_code == 200
    assert force(ada, gone).status_code == 200
    assert force(ada, second).status_code == 409


@pytest.mark.django_db
def test_a_release_and_a_command_are_not_held_up_and_a_release_makes_room() -> None:
    first, second, third, _ = breakers()
    ada = person()
    for one in (first, second, third):
        force(ada, one)
    limit(**HALF, confirm=False)

    assert command(ada, third).status_code == 202
    assert force(ada, first, mode="forced_closed").status_code == 200
    assert [release(ada, one).status_code for one in (first, second)] == [200, 200]
    assert force(ada, first).status_code == 200
    assert force(ada, second).status_code == 409


@pytest.mark.django_db
def test_broken_glass_goes_through_is_audited_and_is_told_to_the_rules() -> None:
    first, second, third, _ = breakers()
    limit(**HALF)
    ada = person()
    for one in (first, second):
        force(ada, one, **GLASS)
    assert not AuditEntry.objects.filter(action="break_glass").exists()

    answer = force(ada, third, reason="the provider burns", **GLASS)

    assert answer.status_code == 200
    entry = AuditEntry.objects.get(action="break_glass")
    assert (entry.actor_name, entry.reason) == ("ada", "the provider burns")
    assert entry.subject_id == str(third.pk)
    assert entry.after == {"guard": "max_forced_percent", "forced": 3, "at_most": 2}
    assert AuditEntry.objects.get(action="override", subject_id=str(third.pk)).after["broke"] == (
        "max_forced_percent"
    )
    [row] = told_to_alerts()
    assert row.breaker_id == third.pk


@pytest.mark.django_db
def test_glass_needs_a_reason_and_the_name_of_a_guard() -> None:
    one, _ = breakers(2)
    limit(guard={"max_forced_percent": 0})
    ada = person()

    unnamed = force(ada, one, break_glass="four_eyes")
    unreasoned = force(ada, one, reason=" ", **GLASS)

    assert unnamed.status_code == 422
    assert unnamed.json()["errors"][0]["loc"] == ["break_glass"]
    assert unreasoned.status_code == 422
    assert not Override.objects.exists()


@pytest.mark.django_db
def test_what_acts_by_itself_is_not_held_up_and_counts() -> None:
    first, second, third, _ = breakers()
    limit(**HALF, confirm=True, four_eyes={"above": 0})
    policy = Actor(kind="policy", id=1, name="fleet", can=frozenset())
    for one in (first, second, third):
        override_breaker(
            one,
            wish=OverrideWish(mode=Mode.FORCED_OPEN, reason="fleet", expires_at=None),
            by=policy,
            now=timezone.now(),
        )
    limit(**HALF)

    assert force(person(), make_breaker()).status_code == 409


@pytest.mark.django_db
def test_each_control_call_confirms_the_environment_and_a_release_does_not() -> None:
    one, elsewhere = make_breaker(), make_breaker(environment="dev")
    limit(confirm=True)
    ada = person()

    bare, wrong = force(ada, one), command(ada, one, confirm="dev")
    named, tripped = force(ada, one, confirm="prod"), command(ada, one, confirm="prod")

    assert [bare.status_code, wrong.status_code] == [422, 422]
    assert bare.json()["errors"][0]["loc"] == ["confirm"]
    assert "prod" in bare.json()["detail"]
    assert [named.status_code, tripped.status_code] == [200, 202]
    assert release(ada, one).status_code == 200
    assert force(ada, elsewhere).status_code == 200


def at_once(*calls: Any) -> list[int]:
    """The statuses of calls made at the same time, each on a connection of its own."""
    ready = Barrier(len(calls))

    def made(call: Any) -> int:
        ready.wait(timeout=10)
        try:
            return int(call().status_code)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(calls)) as pool:
        return sorted(pool.map(made, calls))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("alone", [True, False], ids=["by one person", "by many"])
def test_calls_at_once_do_not_get_past_the_guard_together(alone: bool) -> None:
    chosen = breakers(6)
    limit(**HALF)
    callers = [person("ada" if alone else f"person {n}") for n in range(6)]

    statuses = at_once(
        *(lambda c=c, b=b: force(c, b) for c, b in zip(callers, chosen, strict=True))
    )

    assert statuses == [200] * 3 + [409] * 3
    assert Override.objects.filter(ended_at=None).count() == 3


@pytest.mark.django_db(transaction=True)
def test_calls_at_once_do_not_get_around_the_other_person_together() -> None:
    chosen = [make_breaker(service=f"service {n}") for n in range(6)]
    limit(four_eyes={"above": 2})
    person("ada")
    callers = [person("ada") if n % 2 else key(by="ada") for n in range(6)]

    statuses = at_once(
        *(lambda c=c, b=b: force(c, b) for c, b in zip(callers, chosen, strict=True))
    )

    assert statuses == [200] * 2 + [202] * 4
    assert Override.objects.count() == 2
    assert Approval.objects.count() == 4
