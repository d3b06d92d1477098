"""I3: each acknowledged event is evaluated by each rule enabled when it is evaluated, once in effect."""

from __future__ import annotations

import random
import threading

import pytest
from django.db import OperationalError, connections
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alerts.evaluate import evaluate_breakers, evaluate_pending
from alerts.models import Delivery, Incident, IncidentBreaker, IncidentEntry, Standing
from breakers.models import OutboxRow
from tests.support import alert_worker
from tests.support.eventually import eventually
from tests.support.make import happens, make_breaker, make_channel, make_rule
from tests.support.stops import stop_at

pytestmark = pytest.mark.django_db(transaction=True)


def nothing_but_the_outbox(rows: int) -> None:
    assert OutboxRow.objects.count() == rows
    for model in (Incident, IncidentBreaker, IncidentEntry, Delivery, Standing):
        assert not model.objects.exists(), model


@pytest.mark.parametrize(
    ("table", "when"),
    [
        ("incident", "BEFORE INSERT"),
        ("incident_breaker", "BEFORE INSERT"),
        ("incident_entry", "BEFORE INSERT"),
        ("delivery", "BEFORE INSERT"),
        ("standing", "BEFORE INSERT"),
        ("outbox", "BEFORE DELETE"),
        ("delivery", "AT COMMIT"),
    ],
)
def test_a_worker_killed_anywhere_leaves_all_or_nothing(superuser_url: str, table: str, when: str):
    make_rule(channels=[make_channel()])
    breaker = make_breaker()
    happens(breaker, "open")
    happens(breaker, "closed")
    happens(breaker, "open")

    with stop_at(superuser_url, table, when) as stop:
        worker = alert_worker.start("evaluate")
        stop.reached()
        alert_worker.kill(worker)
        stop.gone()
        nothing_but_the_outbox(3)

    alert_worker.run("evaluate")

    assert not OutboxRow.objects.exists()
    assert [one.status for one in Incident.objects.order_by("id")] == ["resolved", "firing"]
    told = Delivery.objects.order_by("id").values_list("type", flat=True)
    assert list(told) == ["incident.firing", "incident.resolved", "incident.firing"]


def test_while_one_worker_holds_a_breaker_another_judges_the_rest(superuser_url: str):
    make_rule(group_by=["breaker"])
    held, free = make_breaker(), make_breaker()
    happens(held, "open")

    with stop_at(superuser_url, "standing", "BEFORE INSERT") as stop:
        worker = alert_worker.start("evaluate")
        stop.reached()
        happens(free, "open", instance="default")
        blocked = threading.Thread(target=_evaluate_in_thread)
        blocked.start()
        stop.reached(by=2)
    alert_worker.finish(worker)
    blocked.join(30)

    assert Incident.objects.count() == 2
    assert not OutboxRow.objects.exists()


def _evaluate_in_thread() -> None:
    try:
        evaluate_pending(budget_s=20)
    finally:
        connections.close_all()


def test_two_workers_that_begin_the_same_incident_make_one(superuser_url: str):
    make_rule(channels=[make_channel()])
    first, second = make_breaker(target="catalog"), make_breaker(target="catalog")
    happens(first, "open")

    with stop_at(superuser_url, "standing", "BEFORE INSERT") as stop:
        worker = alert_worker.start("evaluate")
        stop.reached()  # its incident is inserted and not committed
        happens(second, "open")
        other = threading.Thread(target=_evaluate_in_thread)
        other.start()
        eventually(lambda: _blocked_on_incident(superuser_url))
    alert_worker.finish(worker)
    other.join(30)

    incident = Incident.objects.get()
    assert incident.breakers_total == 2
    assert incident.members.count() == 2
    assert Delivery.objects.filter(type="incident.firing").count() == 1


def _blocked_on_incident(url: str) -> bool:
    import psycopg

    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            " AND datname = current_database()"
            " AND query ILIKE 'INSERT INTO \"incident\"%'"
        ).fetchone()
    return bool(row and row[0])


def test_many_workers_at_once_neither_lose_double_nor_deadlock():
    targets = 4
    make_rule("by target", channels=[make_channel()])
    make_rule("by service", group_by=["service"])
    breakers = [
        make_breaker(service=f"service-{n % 3}", target=f"target-{n % targets}") for n in range(40)
    ]
    chance = random.Random(7)
    for _ in range(6):
        for breaker in chance.sample(breakers, len(breakers)):
            happens(breaker, chance.choice(["open", "closed", "half_open"]))
    for breaker in breakers:
        happens(breaker, "open")

    problems: list[BaseException] = []

    def work(seed: int) -> None:
        mine = random.Random(seed)
        try:
            while OutboxRow.objects.exists():
                some = mine.sample([one.pk for one in breakers], 7)
                try:
                    evaluate_breakers(some)
                except Exception as problem:
                    if type(problem).__name__ != "AnotherWasFirst":
                        raise
        except BaseException as problem:
            problems.append(problem)
        finally:
            connections.close_all()

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)

    assert not problems
    unresolved = Incident.objects.filter(resolved_at=None)
    assert unresolved.filter(rule__name="by target").count() == targets
    assert unresolved.filter(rule__name="by service").count() == 3
    for incident in unresolved:
        members = incident.members.filter(well_at=None)
        assert members.count() == len(set(members.values_list("breaker_id", flat=True)))
    firing = IncidentBreaker.objects.filter(incident__in=unresolved, well_at=None)
    assert firing.count() == 2 * len(breakers)
    for incident in Incident.objects.filter(rule__name="by target"):
        told = list(incident.deliveries.values_list("type", flat=True).order_by("id"))
        assert told.count("incident.firing") == 1
        assert told.count("incident.resolved") == (incident.resolved_at is not None)


STATES = ("open", "closed", "half_open", "forced_open")


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1), st.sampled_from(STATES)), max_size=14),
    st.sets(st.integers(0, 14)),
)
def test_however_the_rows_fall_into_claims_the_same_incidents_come_of_them(
    events: list[tuple[int, int, str]], evaluated_after: set[int]
):
    """Against a model that judges each event alone, in order."""
    rule = make_rule()
    target = f"target-{rule.pk}"
    breakers = [make_breaker(target=target, instances=("a", "b")) for _ in range(2)]
    states = {(b, i): "closed" for b in range(2) for i in range(2)}
    fired = resolved = 0
    members: set[int] = set()
    unwell: set[int] = set()
    for at, (b, i, state) in enumerate(events):
        happens(breakers[b], state, instance="ab"[i])
        states[b, i] = state
        mine = {states[b, 0], states[b, 1]}
        if "open" in mine:
            fired += not members
            members.add(b)
            unwell.add(b)
        elif b in members:
            # Half open is not well: whoever was well may have to be waited for again.
            (unwell.add if "half_open" in mine else unwell.discard)(b)
            if not unwell:
                resolved += 1
                members.clear()
        if at in evaluated_after:
            evaluate_pending()
    evaluate_pending()

    made = Incident.objects.filter(rule=rule)
    assert made.count() == fired
    assert made.filter(resolved_at__isnull=False).count() == resolved
    not_well = IncidentBreaker.objects.filter(
        incident__rule=rule, incident__resolved_at=None, well_at=None
    )
    assert {one.breaker_id for one in not_well} == {breakers[b].pk for b in unwell}
    rule.enabled = False
    rule.save()


def test_a_connection_that_breaks_ends_the_task_and_the_next_one_judges(superuser_url: str):
    make_rule(group_by=["breaker"])
    for _ in range(8):
        happens(make_breaker(), "open")
    problems: list[BaseException] = []

    def work() -> None:
        try:
            evaluate_pending()
        except OperationalError as problem:
            problems.append(problem)
        finally:
            connections.close_all()

    with stop_at(superuser_url, "standing", "BEFORE INSERT") as stop:
        worker = threading.Thread(target=work)
        worker.start()
        stop.reached()
        stop.gone()
        worker.join(20)
    assert len(problems) == 1
    evaluate_pending()

    assert Incident.objects.count() == 8
