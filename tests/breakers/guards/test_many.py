"""Calls that touch many breakers, and those for later, are held to the same limits."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from breakers.desired.plan import start_due
from breakers.models import (
    Approval,
    AuditEntry,
    Breaker,
    BreakerInstance,
    Override,
    PlannedOverride,
)
from tests.breakers.guards.callers import FORCE, decide, force, limit, person, told_to_alerts
from tests.support.make import make_breaker

pytestmark = pytest.mark.django_db
HALF = {"guard": {"max_forced_percent": 50}}


def force_many(caller: Client, match: dict[str, str], **more: Any) -> Any:
    return caller.post(
        "/api/v1/overrides", FORCE | {"match": match} | more, content_type="application/json"
    )


def breakers(count: int = 4, **more: Any) -> list[Breaker]:
    return [make_breaker(**more) for _ in range(count)]


def tomorrow() -> str:
    return (timezone.now() + timedelta(days=1)).isoformat()


def test_many_at_once_are_forbidden_where_one_too_many_would_be() -> None:
    breakers()
    breakers(2, service="billing")
    limit(**HALF)
    ada = person()

    refused = force_many(ada, {"environment": "prod"})

    assert refused.status_code == 409
    assert refused.json()["guard"] == "max_forced_percent"
    assert "orders" in refused.json()["detail"]
    assert not Override.objects.exists()


def test_broken_glass_is_audited_for_each_breaker_of_the_service_that_goes_too_far() -> None:
    orders = breakers(3)
    (alone,) = breakers(1, service="billing")
    limit(**HALF)

    made = force_many(person(), {"environment": "prod"}, break_glass="max_forced_percent")

    assert made.status_code == 201
    broken = {str(one.pk) for one in orders}
    audited = AuditEntry.objects.filter(action="break_glass")
    assert {entry.subject_id for entry in audited} == broken
    assert {str(row.breaker_id) for row in told_to_alerts()} == broken
    told = {one["breaker"]: one["broke"] for one in made.json()["overrides"]}
    assert told[str(alone.pk)] is None
    assert told[str(orders[0].pk)] == "max_forced_percent"


def test_a_dry_run_asks_nobody_and_touches_nothing() -> None:
    breakers()
    limit(**HALF, confirm=True, four_eyes={"above": 0})

    answer = force_many(person(), {"service": "orders"}, dry_run=True)

    assert answer.status_code == 200
    assert len(answer.json()["breakers"]) == 4
    assert not Approval.objects.exists()


def test_one_approval_stands_for_all_of_them() -> None:
    chosen = breakers(3)
    limit(four_eyes={"above": 2}, confirm=True)
    ada = person("ada")

    unconfirmed = force_many(ada, {"service": "orders"})
    asked = force_many(ada, {"service": "orders"}, confirm="prod")
    assert unconfirmed.status_code == 422
    assert asked.status_code == 202
    assert asked.json()["call"]["match"] == {"service": "orders"}
    assert asked.json()["breakers"] == [str(one.pk) for one in chosen]
    assert not Override.objects.exists()

    assert decide(person("bob"), asked.json()["id"]).status_code == 200
    assert Override.objects.filter(approved_by="bob", by_name="ada").count() == 3
    # From here on each further breaker needs another person, too.
    assert force(ada, make_breaker(), confirm="prod").status_code == 202


def test_a_match_that_is_another_by_now_outdates_it() -> None:
    chosen = breakers(2, state="open")
    limit(four_eyes={"above": 0})
    asked = force_many(person("ada"), {"state": "open"}).json()["id"]
    BreakerInstance.objects.filter(breaker=chosen[0]).update(state="closed")

    assert decide(person("bob"), asked).status_code == 409
    assert not Override.objects.exists()


def test_many_go_through_one_environment_at_a_time_where_they_are_confirmed() -> None:
    breakers(1)
    breakers(1, environment="staging")
    limit("prod", confirm=True)
    limit("staging", confirm=True)
    ada = person()

    both = force_many(ada, {"service": "orders"}, confirm="prod")
    one = force_many(ada, {"service": "orders", "environment": "prod"}, confirm="prod")

    assert both.status_code == 422
    assert one.status_code == 201


def test_whoever_approves_must_see_all_that_it_touches() -> None:
    breakers(1)
    breakers(1, environment="staging")
    limit("prod", four_eyes={"above": 0})
    asked = force_many(person("ada"), {"service": "orders"}).json()["id"]

    assert decide(person("bob", "operator", "prod"), asked).status_code == 404
    assert decide(person("cyd", "operator", "prod", "staging"), asked).status_code == 200


def test_what_is_planned_is_judged_when_it_is_planned_and_counts_from_then_on() -> None:
    first, second, third, _ = breakers()
    limit(**HALF, four_eyes={"above": 2})
    ada, bob = person("ada"), person("bob")

    planned = force(ada, first, starts_at=tomorrow())
    assert planned.status_code == 200
    assert planned.json()["status"] == "planned"
    assert force(ada, second).status_code == 200
    assert force(ada, third, starts_at=tomorrow()).status_code == 409
    limit(four_eyes={"above": 2})
    waiting = force(ada, third, starts_at=tomorrow())
    assert waiting.status_code == 202
    assert PlannedOverride.objects.count() == 1

    assert decide(bob, waiting.json()["id"]).status_code == 200
    assert PlannedOverride.objects.get(breaker=third).approved_by == "bob"


def test_what_was_planned_past_a_guard_fires_when_it_begins() -> None:
    (only,) = breakers(1)
    limit(guard={"max_forced_percent": 0})
    ada = person()
    assert force(ada, only, starts_at=tomorrow()).status_code == 409
    force(ada, only, starts_at=tomorrow(), break_glass="max_forced_percent")
    assert AuditEntry.objects.filter(action="break_glass").exists()
    assert not told_to_alerts()

    PlannedOverride.objects.update(starts_at=timezone.now() - timedelta(seconds=1))
    PlannedOverride.objects.update(expires_at=timezone.now() + timedelta(hours=1))
    start_due()

    assert Override.objects.get().broke == "max_forced_percent"
    assert len(told_to_alerts()) == 1
