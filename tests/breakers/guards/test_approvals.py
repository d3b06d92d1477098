"""Four eyes: what counts, who may approve, and what an approval is still good for."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from django.db import connections
from django.test import Client
from django.utils import timezone

from breakers.models import (
    ApiKey,
    Approval,
    AuditEntry,
    Breaker,
    Command,
    Environment,
    Instance,
    Override,
    Person,
    Role,
)
from tests.breakers.guards.callers import command, decide, force, key, limit, person, release
from tests.support.make import make_breaker, make_instance

pytestmark = pytest.mark.django_db
TWO = {"four_eyes": {"above": 2}}
NONE = {"four_eyes": {"above": 0}}


@pytest.fixture
def breaker() -> Breaker:
    """One whose every control call needs another person."""
    made = make_breaker("catalog")
    limit(**NONE)
    return made


def listed(caller: Client, **query: str) -> list[dict[str, Any]]:
    answer = caller.get("/api/v1/approvals", query)
    assert answer.status_code == 200
    return list(answer.json()["items"])


def standing(breaker: Breaker) -> Override | None:
    return breaker.overrides.filter(ended_at=None).first()


def later(approval: str, **span: float) -> None:
    """Has it been asked for so long ago."""
    row = Approval.objects.get(pk=approval)
    row.created_at -= timedelta(**span)
    row.expires_at -= timedelta(**span)
    row.save()


def test_a_call_above_the_number_waits_and_changes_nothing() -> None:
    first, second, third = (make_breaker() for _ in range(3))
    limit(**TWO)
    ada = person()

    answers = [force(ada, one) for one in (first, second, third)]

    assert [one.status_code for one in answers] == [200, 200, 202]
    told = answers[2].json()
    assert (told["status"], told["asked_by"]) == ("pending", "ada")
    assert told["breakers"] == [str(third.pk)]
    assert told["call"]["kind"] == "override"
    assert told["call"]["mode"] == "forced_open"
    assert told["call"]["expires_in"] == 600
    assert "above 2" in told["why"]
    assert standing(third) is None
    third.refresh_from_db()
    assert third.revision == 0
    assert [one["id"] for one in listed(ada, status="pending")] == [told["id"]]
    assert [e.action for e in AuditEntry.objects.order_by("-id")[:1]] == ["ask_approval"]


def test_breakers_count_and_calls_do_not() -> None:
    first, second, third = (make_breaker() for _ in range(3))
    limit(**TWO)
    ada = person()

    for _ in range(3):
        assert force(ada, first).status_code == 200
        assert release(ada, first).status_code == 200
        assert command(ada, second).json()["command"] == "trip"
    assert command(ada, third).json()["status"] == "pending"
    assert Command.objects.filter(breaker=third).count() == 0


def test_a_person_and_all_their_keys_are_one_pair_of_hands_revoked_ones_included() -> None:
    chosen = [make_breaker() for _ in range(4)]
    limit(**TWO)
    ada, bob = person("ada"), person("bob")

    assert force(key(by="ada"), chosen[0]).status_code == 200
    ApiKey.objects.update(revoked_at=timezone.now())
    assert force(key(by="ada"), chosen[1]).status_code == 200
    assert force(key(by="ada"), chosen[2]).status_code == 202
    assert force(ada, chosen[3]).status_code == 202
    assert force(bob, chosen[2]).status_code == 200


def test_what_was_touched_and_removed_counts_all_the_same() -> None:
    chosen = [make_breaker() for _ in range(3)]
    limit(**TWO)
    ada = person("ada", Role.ADMIN)
    for one in chosen[:2]:
        assert command(ada, one).status_code == 202
        path = f"/api/v1/breakers/{one.pk}"
        assert ada.delete(path, {"reason": "x"}, content_type="application/json").status_code == 204

    assert command(ada, chosen[2]).json()["status"] == "pending"


def test_what_a_revoked_key_asked_for_is_asked_anew_by_another(breaker: Breaker) -> None:
    person("ada")
    first = force(key(by="ada"), breaker).json()["id"]
    ApiKey.objects.update(revoked_at=timezone.now())

    second = force(key(by="ada"), breaker).json()["id"]

    assert second != first
    assert decide(person("bob"), second).status_code == 200


def test_keys_that_nobody_known_has_made_count_together() -> None:
    chosen = [make_breaker() for _ in range(3)]
    limit(**TWO)

    assert [force(key(), one).status_code for one in chosen] == [200, 200, 202]


def test_what_was_touched_a_quarter_of_an_hour_ago_counts_no_more() -> None:
    first, second, third = (make_breaker() for _ in range(3))
    limit(**TWO)
    ada = person()
    force(ada, first)
    force(ada, second)
    assert force(ada, third).status_code == 202

    Override.objects.filter(breaker=first).update(
        created_at=timezone.now() - timedelta(minutes=15, seconds=1)
    )

    assert force(ada, third).status_code == 200


def test_other_environments_count_their_own() -> None:
    first, second = make_breaker(), make_breaker(environment="dev")
    limit("prod", four_eyes={"above": 1})
    limit("dev", four_eyes={"above": 1})
    ada = person()

    assert force(ada, first).status_code == 200
    assert force(ada, second).status_code == 200


def test_another_person_approves_and_it_takes_effect_in_the_name_of_who_asked(
    breaker: Breaker,
) -> None:
    asked = force(person("ada"), breaker, reason="maintenance").json()["id"]
    later(asked, minutes=10)

    answer = decide(person("bob"), asked, reason="seen the ticket")

    assert answer.status_code == 200
    assert (answer.json()["status"], answer.json()["decided_by"]) == ("approved", "bob")
    override = standing(breaker)
    assert override is not None
    assert (override.by_name, override.approved_by) == ("ada", "bob")
    assert override.expires_at is not None
    # Ten minutes, as asked for, from when it took effect.
    assert override.expires_at - override.created_at == timedelta(seconds=600)
    entries = AuditEntry.objects.order_by("id").values_list("action", "actor_name", "reason")
    assert list(entries)[-3:] == [
        ("ask_approval", "ada", "maintenance"),
        ("override", "ada", "maintenance"),
        ("approve", "bob", "seen the ticket"),
    ]
    made = AuditEntry.objects.get(action="override")
    assert made.after is not None
    assert made.after["approved_by"] == "bob"


def test_the_audit_log_names_the_breaker_of_an_approval_or_says_of_how_many() -> None:
    ledger, _ = (make_breaker(name, service="billing") for name in ("ledger", "cards"))
    limit(four_eyes={"above": 0})
    ada = person("ada")
    decide(person("bob"), force(ada, ledger).json()["id"])
    many = {"match": {"service": "billing"}, "mode": "forced_open", "reason": "x", "expires_in": 60}
    ada.post("/api/v1/overrides", many, content_type="application/json")

    entries = AuditEntry.objects.filter(subject_kind="approval").order_by("id")
    assert list(entries.values_list("action", "subject")) == [
        ("ask_approval", "prod / billing / ledger"),
        ("approve", "prod / billing / ledger"),
        ("ask_approval", "prod / billing / 2 breakers"),
    ]


def test_a_command_waits_and_is_given_too(breaker: Breaker) -> None:
    asked = command(person("ada"), breaker, command="reset").json()["id"]

    assert decide(person("bob"), asked).status_code == 200

    given = Command.objects.get()
    assert (given.command, given.by_name, given.approved_by) == ("reset", "ada", "bob")


def test_nobody_approves_their_own_by_whatever_key(breaker: Breaker) -> None:
    ada = person("ada", Role.ADMIN)
    by_hand = force(ada, breaker).json()["id"]
    by_key = force(key(by="ada"), breaker, mode="forced_closed").json()["id"]

    assert decide(ada, by_hand).status_code == 403
    assert decide(ada, by_key).status_code == 403
    assert standing(breaker) is None
    assert decide(person("bob"), by_key).status_code == 200


def test_a_key_that_a_persons_key_has_made_is_still_that_persons(breaker: Breaker) -> None:
    ada = person("ada", Role.ADMIN)
    asked = {"name": "further", "scopes": ["operate"]}
    admin_key = key("admin", "operate", by="ada")
    made = admin_key.post("/api/v1/keys", asked, content_type="application/json").json()
    further = Client(headers={"Authorization": f"Bearer {made['key']}"})

    waiting = force(further, breaker).json()["id"]

    assert decide(ada, waiting).status_code == 403


def test_a_key_approves_nothing_whoever_made_it(breaker: Breaker) -> None:
    asked = force(person("ada"), breaker).json()["id"]
    person("bob")

    assert decide(key("operate", "admin", "read", by="bob"), asked).status_code == 403
    assert decide(key("operate"), asked).status_code == 403
    assert standing(breaker) is None


def test_a_key_of_nobody_known_is_approved_by_any_person(breaker: Breaker) -> None:
    asked = force(key(), breaker).json()["id"]

    assert decide(person("bob"), asked).status_code == 200


def test_viewers_see_and_decide_nothing_and_limits_hide_what_lies_beyond(
    breaker: Breaker,
) -> None:
    asked = force(person("ada"), breaker).json()["id"]
    Environment.objects.create(name="dev")
    viewer, elsewhere = person("eve", Role.VIEWER), person("bob", Role.OPERATOR, "dev")

    assert viewer.get("/api/v1/approvals").status_code == 403
    assert [decide(viewer, asked, what).status_code for what in ("approve", "reject")] == [403] * 2
    assert [decide(elsewhere, asked, what).status_code for what in ("approve", "reject")] == [
        404,
        404,
    ]
    assert listed(elsewhere) == []
    assert listed(key("operate", environment="prod", services=["billing"])) == []
    assert len(listed(key("operate", environment="prod", services=["orders"]))) == 1
    assert decide(person("cyd"), "no-number").status_code == 404
    assert decide(person("cyd"), str(int(asked) + 1)).status_code == 404
    assert decide(Client(), asked).status_code == 401


def test_a_rejected_one_takes_no_effect_and_cannot_be_approved(breaker: Breaker) -> None:
    asked = force(person("ada"), breaker).json()["id"]

    rejected = decide(person("bob"), asked, "reject", reason="not today")
    again = decide(person("cyd"), asked)

    assert rejected.json()["status"] == "rejected"
    assert rejected.json()["note"] == "not today"
    assert again.status_code == 409
    assert "bob" in again.json()["detail"]
    assert standing(breaker) is None
    entry = AuditEntry.objects.latest("id")
    assert (entry.action, entry.actor_name, entry.reason) == ("reject", "bob", "not today")


def test_whoever_asked_may_take_it_back(breaker: Breaker) -> None:
    ada = person("ada")
    asked = force(ada, breaker).json()["id"]

    assert decide(ada, asked, "reject").json()["status"] == "rejected"


def test_it_expires_after_a_quarter_of_an_hour(breaker: Breaker) -> None:
    ada = person("ada")
    asked = force(ada, breaker).json()["id"]
    later(asked, minutes=15, seconds=1)

    answer = decide(person("bob"), asked)

    assert answer.status_code == 409
    assert "expired" in answer.json()["detail"]
    assert ada.get(f"/api/v1/approvals/{asked}").json()["status"] == "expired"
    assert [one["id"] for one in listed(ada, status="expired")] == [asked]
    assert listed(ada, status="pending") == []
    assert standing(breaker) is None


def test_the_same_call_again_is_the_one_that_waits_already(breaker: Breaker) -> None:
    ada = person("ada")

    first, again = force(ada, breaker), force(ada, breaker)
    other = force(ada, breaker, reason="another reason")

    assert first.json()["id"] == again.json()["id"] != other.json()["id"]
    assert AuditEntry.objects.filter(action="ask_approval").count() == 2


def another_override(breaker: Breaker) -> None:
    limit()
    assert force(person("cyd"), breaker).status_code == 200
    limit(**NONE)


def other_limits(_: Breaker) -> None:
    limit(**NONE, guard={"max_forced_percent": 50})


def a_new_instance(breaker: Breaker) -> None:
    make_instance(breaker, "another")


def a_lost_instance(_: Breaker) -> None:
    Instance.objects.update(lost_at=timezone.now())


def a_lesser_role(_: Breaker) -> None:
    Person.objects.filter(username="ada").update(role=Role.VIEWER)


def a_locked_out_person(_: Breaker) -> None:
    Person.objects.filter(username="ada").update(is_active=False)


def other_environments(_: Breaker) -> None:
    Person.objects.get(username="ada").environments.add(Environment.objects.create(name="dev"))


@pytest.mark.parametrize(
    "change",
    [
        another_override,
        other_limits,
        a_new_instance,
        a_lost_instance,
        a_lesser_role,
        a_locked_out_person,
        other_environments,
    ],
    ids=lambda change: change.__name__,
)
def test_an_approval_is_good_only_for_what_it_was_asked_for(breaker: Breaker, change: Any) -> None:
    asked = force(person("ada"), breaker, mode="forced_closed").json()["id"]

    change(breaker)
    answer = decide(person("bob"), asked)

    assert answer.status_code == 409
    assert Override.objects.filter(mode="forced_closed").count() == 0
    told = person("bob").get(f"/api/v1/approvals/{asked}").json()
    assert (told["status"], told["decided_by"]) == ("outdated", "bob")
    assert told["note"] == answer.json()["detail"]
    assert AuditEntry.objects.latest("id").action == "outdate"


def test_a_revoked_key_asks_for_nothing_any_more(breaker: Breaker) -> None:
    asked = force(key(), breaker).json()["id"]
    ApiKey.objects.update(revoked_at=timezone.now())

    assert decide(person("bob"), asked).status_code == 409
    assert standing(breaker) is None


def test_an_end_that_has_passed_meanwhile_outdates_it(breaker: Breaker) -> None:
    soon = (timezone.now() + timedelta(minutes=5)).isoformat()
    asked = force(person("ada"), breaker, expires_in=None, expires_at=soon).json()["id"]
    row = Approval.objects.get()
    row.call["call"]["wish"]["expires_at"] = (timezone.now() - timedelta(seconds=1)).isoformat()
    row.save()

    assert decide(person("bob"), asked).status_code == 409
    assert standing(breaker) is None


def test_a_guard_forbids_what_was_approved_if_others_were_faster() -> None:
    first, second = make_breaker(), make_breaker()
    limit(guard={"max_forced_percent": 50}, four_eyes={"above": 0})
    asked_first = force(person("ada"), first).json()["id"]
    asked_second = force(person("ada"), second).json()["id"]

    assert decide(person("bob"), asked_first).status_code == 200
    answer = decide(person("bob"), asked_second)

    assert answer.status_code == 409
    assert "max_forced_percent" in answer.json()["detail"]
    assert standing(second) is None


def test_broken_glass_needs_the_other_person_all_the_same() -> None:
    one = make_breaker()
    limit(guard={"max_forced_percent": 0}, four_eyes={"above": 0})
    ada = person("ada")

    assert force(ada, one).status_code == 409
    asked = force(ada, one, break_glass="max_forced_percent")
    assert asked.status_code == 202
    assert not AuditEntry.objects.filter(action="break_glass").exists()
    assert decide(person("bob"), asked.json()["id"]).status_code == 200

    override = standing(one)
    assert override is not None
    assert override.broke == "max_forced_percent"
    assert AuditEntry.objects.get(action="break_glass").actor_name == "ada"


def test_what_could_not_be_done_is_refused_before_anybody_is_asked(breaker: Breaker) -> None:
    ada = person("ada")

    stale = ada.put(
        f"/api/v1/breakers/{breaker.pk}/override",
        {"mode": "forced_open", "reason": "x", "no_expiry": True},
        content_type="application/json",
        headers={"If-Match": '"7"'},
    )
    unknown = command(ada, breaker, instances=["nobody"])

    assert stale.status_code == 412
    assert unknown.status_code == 422
    assert not Approval.objects.exists()


def test_a_release_is_never_held_up(breaker: Breaker) -> None:
    asked = force(person("ada"), breaker).json()["id"]
    decide(person("bob"), asked)
    limit(**NONE, confirm=True, guard={"max_forced_percent": 0})

    assert release(person("ada"), breaker).status_code == 200
    assert standing(breaker) is None


def test_who_floods_the_others_with_questions_is_stopped(
    breaker: Breaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("breakers.guards.approvals.WAITING_MAX", 2)
    ada = person("ada")

    statuses = [force(ada, breaker, reason=f"reason {n}").status_code for n in range(3)]

    assert statuses == [202, 202, 409]


@pytest.mark.django_db(transaction=True)
def test_of_two_who_approve_at_once_one_does() -> None:
    breaker = make_breaker()
    limit(**NONE)
    asked = force(person("ada"), breaker).json()["id"]
    callers = [person("bob"), person("cyd")]
    ready = Barrier(2)

    def approve(caller: Client) -> int:
        ready.wait(timeout=10)
        try:
            return int(decide(caller, asked).status_code)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        statuses = sorted(pool.map(approve, callers))

    assert statuses == [200, 409]
    assert Override.objects.count() == 1
    breaker.refresh_from_db()
    assert breaker.revision == 1
