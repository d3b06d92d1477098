"""Policies on a real database while people move the lever or change them, and other workers judge."""

from __future__ import annotations

import threading

import psycopg
import pytest
from django.db import connections, transaction
from django.utils import timezone

from alerts.evaluate import evaluate_pending
from alerts.models import Policy, PolicyCase
from alerts.policy_changes import change_policy, delete_policy, pull_lever
from breakers.models import AuditEntry, Breaker, OutboxRow, Override
from tests.alerts.policies.held import a_breaker, acts_of, by_hand, comes_due, held, opens
from tests.support import alert_worker
from tests.support.eventually import eventually
from tests.support.make import happens, make_actor, make_breaker, make_policy
from tests.support.stops import stop_at

pytestmark = pytest.mark.django_db


# The lever, and changes.


def test_the_lever_releases_all_at_once_and_nothing_more_is_held():
    make_policy()
    first = a_breaker("a", "b")

    pull_lever(stopped=True, reason="something is odd", by=make_actor(), now=timezone.now())
    assert held(first) is None
    assert acts_of(first)[-1] == (
        "policy",
        "release",
        "All policies were stopped by ada: something is odd",
    )
    second = a_breaker("a", "b", service="billing")
    assert held(second) is None
    assert PolicyCase.objects.get(breaker=second).blocked == "All policies are stopped."

    pull_lever(stopped=False, reason="it was not", by=make_actor(), now=timezone.now())
    evaluate_pending()
    assert held(second) is not None
    log = AuditEntry.objects.filter(subject_kind="policy", subject_id="lever").order_by("id")
    assert [(one.action, one.reason, one.actor_name) for one in log] == [
        ("stop_policies", "something is odd", "ada"),
        ("resume_policies", "it was not", "ada"),
    ]


def test_the_lever_leaves_what_people_hold_alone():
    make_policy()
    breaker = a_breaker("a", "b")
    mine = by_hand(breaker)

    pull_lever(stopped=True, reason="odd", by=make_actor(), now=timezone.now())

    assert held(breaker) == mine


def test_other_terms_release_what_is_held_and_judge_anew():
    policy = make_policy()
    breaker = a_breaker("a", "b")
    before = held(breaker)

    change_policy(policy.pk, _wish(policy, count=3), by=make_actor(), now=timezone.now())
    assert held(breaker) is None
    evaluate_pending()
    assert held(breaker) is None

    change_policy(policy.pk, _wish(policy, count=2), by=make_actor(), now=timezone.now())
    evaluate_pending()
    assert held(breaker) not in (None, before)


def test_another_name_changes_nothing_that_is_held():
    policy = make_policy()
    breaker = a_breaker("a", "b")
    before = held(breaker)

    change_policy(policy.pk, _wish(policy, name="other"), by=make_actor(), now=timezone.now())
    assert held(breaker) == before
    comes_due(breaker)
    probing = held(breaker)
    assert probing is not None
    assert probing.by_name == "other"


def test_deleting_a_policy_releases_what_it_holds():
    policy = make_policy()
    breaker = a_breaker("a", "b")

    delete_policy(policy.pk, by=make_actor(), now=timezone.now())
    opens(breaker, "c")

    assert held(breaker) is None
    assert not PolicyCase.objects.exists()


def _wish(policy: Policy, *, name: str = "fleet", count: int = 2):  # type: ignore[no-untyped-def]
    from alerts.api.policies import PolicyIn

    return PolicyIn(name=name, trip={"count": count}).wish()  # type: ignore[arg-type]


# Races.


@pytest.mark.django_db(transaction=True)
def test_a_persons_override_that_comes_first_by_a_moment_stays(superuser_url: str):
    make_policy()
    breaker = make_breaker(instances=("a", "b"))
    for name in ("a", "b"):
        happens(breaker, "open", instance=name)

    with transaction.atomic():
        mine = by_hand(breaker)  # locked, and not committed yet
        policy = threading.Thread(target=_evaluate)
        policy.start()
        eventually(lambda: _waits_for_a_lock(superuser_url), within=30)
    policy.join(30)

    assert held(breaker) == mine
    assert PolicyCase.objects.get().blocked == "ada holds it already."


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("table", "when"),
    [
        ("override", "BEFORE INSERT"),
        ("audit_entry", "BEFORE INSERT"),
        ("policy_case", "BEFORE INSERT"),
        ("outbox", "BEFORE DELETE"),
    ],
)
def test_a_worker_killed_in_the_middle_has_done_all_or_nothing(
    superuser_url: str, table: str, when: str
):
    make_policy()
    breaker = make_breaker(instances=("a", "b"))
    for name in ("a", "b"):
        happens(breaker, "open", instance=name)

    with stop_at(superuser_url, table, when) as stop:
        worker = alert_worker.start("evaluate")
        stop.reached()
        alert_worker.kill(worker)
        stop.gone()
        assert held(breaker) is None
        assert OutboxRow.objects.count() == 2
        assert not PolicyCase.objects.exists()

    alert_worker.run("evaluate")

    assert held(breaker) is not None
    assert Breaker.objects.get(pk=breaker.pk).revision == 1
    alert_worker.run("evaluate")  # what it has wished is there to be judged too
    assert Breaker.objects.get(pk=breaker.pk).revision == 1
    assert not OutboxRow.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_two_workers_together_hold_no_more_than_it_may():
    make_policy(max_breakers=3)
    breakers = [make_breaker(service=f"service-{n}", instances=("a", "b")) for n in range(12)]
    for breaker in breakers:
        for name in ("a", "b"):
            happens(breaker, "open", instance=name)

    workers = [
        threading.Thread(target=_evaluate_some, args=([one.pk for one in breakers[n::3]],))
        for n in range(3)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)

    assert Override.objects.filter(ended_at=None).count() == 3
    assert PolicyCase.objects.filter(phase="holding").count() == 3


def _evaluate() -> None:
    try:
        evaluate_pending()
    finally:
        connections.close_all()


def _evaluate_some(ids: list[int]) -> None:
    from alerts.evaluate import evaluate_breakers

    try:
        evaluate_breakers(ids)
    finally:
        connections.close_all()


def _waits_for_a_lock(url: str) -> bool:
    with psycopg.connect(url) as looking:
        row = looking.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            " AND datname = current_database() AND query LIKE '%FOR NO KEY UPDATE%'"
        ).fetchone()
    return bool(row and row[0])
