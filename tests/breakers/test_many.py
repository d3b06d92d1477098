"""Forcing and releasing many breakers at once."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections, transaction
from django.db.models import F
from django.utils import timezone

from breakers.desired import many
from breakers.desired.many import override_many
from breakers.desired.override import OverrideWish
from breakers.desired.revise import hold_all
from breakers.errors import SetChanged
from breakers.live.match import Match
from breakers.models import AuditEntry, Breaker, Instance, Override, PlannedOverride
from breakers.renaming import rename_service
from breakers.states import Mode
from tests.alerts.api.callers import Caller
from tests.support.eventually import eventually
from tests.support.make import make_actor, make_breaker, make_instance

pytestmark = pytest.mark.django_db
FORCE: dict[str, Any] = {"mode": "forced_open", "reason": "the provider moves", "expires_in": 600}
ORDERS = {"service": "orders"}


def force(match: dict[str, str], **more: Any) -> dict[str, Any]:
    return FORCE | {"match": match} | more


def ids(answer: dict[str, Any]) -> list[str]:
    return [one["id"] for one in answer["breakers"]]


def test_a_dry_run_lists_what_it_would_touch_and_touches_nothing() -> None:
    breaker = make_breaker("catalog", instances=["one", "two"])
    make_breaker("main", service="feed")
    Instance.objects.filter(name="one").update(connected=True)

    told = Caller().post("/overrides", force(ORDERS, dry_run=True), status=200)

    [one] = told["breakers"]
    assert one["id"] == str(breaker.pk)
    assert (one["instances"], one["unreachable"]) == (["one", "two"], ["two"])
    assert (one["override"], one["revision"]) == (None, 0)
    assert told["digest"]
    assert not Override.objects.exists()
    assert not AuditEntry.objects.filter(subject_kind="breaker").exists()


@pytest.mark.parametrize("status", [200, 201], ids=["asked", "done"])
def test_names_that_nothing_touched_bears_are_told_beside_each_breaker(status: int) -> None:
    make_breaker("catalog", instances=["one", "two"])
    make_breaker("stock", instances=["one"])
    named = force(ORDERS, instances=["one", "two", "typo"], dry_run=status == 200)

    told = Caller().post("/overrides", named, status=status)

    assert [(one["instances"], one["unreachable"]) for one in told["breakers"]] == [
        (["one", "two"], ["one", "two", "typo"]),
        (["one"], ["one", "typo"]),
    ]


def test_more_unknown_names_than_an_answer_holds_are_refused() -> None:
    for n in range(51):
        make_breaker(f"catalog-{n}", instances=["one"])
    names = ["one", *(f"typo-{n}" for n in range(999))]

    told = Caller().post("/overrides", force(ORDERS, instances=names, dry_run=True), status=422)

    assert told["errors"][0]["loc"] == ["instances"]


@pytest.mark.parametrize("act", ["", "/release"])
@pytest.mark.parametrize(
    ("match", "place"),
    [
        ({"state": "ajar"}, "state"),
        ({"service": "a\0"}, "service"),
        (ORDERS | {"at": "2020-01-01T00:00:00Z"}, "at"),
        ({"environment": "prod", "servcie": "orders"}, "servcie"),
    ],
)
def test_a_match_that_cannot_be_is_refused_at_its_place(
    match: dict[str, str], place: str, act: str
) -> None:
    make_breaker()

    refused = Caller().post(f"/overrides{act}", force(match), status=422)

    assert refused["errors"][0]["loc"] == ["match", place]
    assert not Override.objects.exists()


def test_a_service_is_found_by_its_former_name_as_on_the_board() -> None:
    breaker = make_breaker()
    rename_service(breaker.service, "shop", reason="r", by=make_actor())

    assert ids(Caller().post("/overrides", force(ORDERS))) == [str(breaker.pk)]
    assert ids(Caller().post("/overrides/release", force(ORDERS), status=200)) == [str(breaker.pk)]


def test_all_that_match_are_forced_each_with_its_revision_and_entry() -> None:
    breakers = [make_breaker() for _ in range(3)]
    call = Caller()
    digest = call.post("/overrides", force(ORDERS, dry_run=True), status=200)["digest"]

    told = call.post("/overrides", force(ORDERS, digest=digest))

    assert ids(told) == [str(one.pk) for one in breakers]
    assert {one["breaker"]: one["revision"] for one in told["overrides"]} == {
        str(one.pk): 1 for one in breakers
    }
    assert Override.objects.filter(ended_at=None, breaker__revision=1).count() == 3
    entries = AuditEntry.objects.filter(action="override")
    assert {entry.subject_id for entry in entries} == set(ids(told))
    assert {entry.request_id for entry in entries} == {told["request_id"]}
    found = call.get(f"/audit?request={told['request_id']}")["items"]
    assert len(found) == 3


def appears() -> None:
    make_breaker("another")


def starts() -> None:
    make_instance(Breaker.objects.get(name="catalog"), "another")


def is_forced() -> None:
    Caller()("PUT", f"/breakers/{Breaker.objects.get(name='catalog').pk}/override", FORCE)


@pytest.mark.parametrize("change", [appears, starts, is_forced])
def test_a_set_that_has_changed_since_the_dry_run_is_refused_whole(change: Any) -> None:
    make_breaker("catalog")
    make_breaker("stock")
    call = Caller()
    digest = call.post("/overrides", force(ORDERS, dry_run=True), status=200)["digest"]
    change()
    before = Override.objects.count()

    status, problem = call("POST", "/overrides", force(ORDERS, digest=digest))

    assert (status, problem["title"]) == (412, "The set has changed")
    assert Override.objects.count() == before


def test_a_plan_that_somebody_made_since_the_dry_run_is_not_replaced_unseen() -> None:
    breaker = make_breaker()
    call = Caller()
    later = {"starts_at": (timezone.now() + timedelta(hours=1)).isoformat()}
    asked = force(ORDERS) | later
    digest = call.post("/overrides", asked | {"dry_run": True}, status=200)["digest"]
    call("PUT", f"/breakers/{breaker.pk}/override", FORCE | later)

    status, _ = call("POST", "/overrides", asked | {"digest": digest})
    dry = call.post("/overrides", asked | {"dry_run": True}, status=200)

    assert status == 412
    assert dry["breakers"][0]["planned"] is not None
    call.post("/overrides", asked | {"digest": dry["digest"]})


def test_what_stood_is_shown_and_then_replaced() -> None:
    breaker = make_breaker()
    call = Caller()
    call("PUT", f"/breakers/{breaker.pk}/override", FORCE | {"reason": "first"})

    told = call.post("/overrides", force(ORDERS))

    assert told["breakers"][0]["override"]["reason"] == "first"
    assert list(Override.objects.order_by("id").values_list("end", flat=True)) == ["replaced", None]


@pytest.mark.parametrize("dry_run", [True, False])
def test_no_match_at_all_must_be_meant(dry_run: bool) -> None:
    make_breaker()
    call = Caller()

    for match in ({}, {"q": "  \u00a0"}, {"state": ", ,"}):
        status, problem = call("POST", "/overrides", force(match, dry_run=dry_run))
        assert status == 422
        assert problem["errors"][0]["loc"] == ["match"]
    assert call("POST", "/overrides", FORCE | {"dry_run": dry_run})[0] == 422
    assert not Override.objects.exists()

    call.post("/overrides", force({}, everything=True))
    assert Override.objects.count() == 1


def test_nothing_outside_the_limits_is_touched_and_a_reader_may_not() -> None:
    make_breaker(environment="prod")
    inside = make_breaker(environment="dev")
    everything = force({}, everything=True)

    told = Caller(environment="dev").post("/overrides", everything)

    assert ids(told) == [str(inside.pk)]
    assert Caller(["read"])("POST", "/overrides", everything)[0] == 403
    assert Caller(environment="dev")("POST", "/overrides", force({"environment": "prod"}))[0] == 404


def test_too_many_are_refused_and_the_bound_itself_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many, "BREAKERS_MOST", 2)
    monkeypatch.setattr(many, "INSTANCES_MOST", 3)
    first = make_breaker(instances=["one"])
    make_breaker(instances=["one", "two"])
    call = Caller()
    assert call("POST", "/overrides", force(ORDERS))[0] == 201

    make_instance(first, "two")
    too_many_instances = call("POST", "/overrides", force(ORDERS))
    make_breaker(instances=[])
    too_many_breakers = call("POST", "/overrides", force(ORDERS, dry_run=True))

    assert too_many_instances[0] == too_many_breakers[0] == 422
    assert "3 instances" in too_many_instances[1]["detail"]
    assert "2 breakers" in too_many_breakers[1]["detail"]


def test_named_instances_leave_out_breakers_that_have_none_of_them() -> None:
    has = make_breaker(instances=["canary", "one"])
    make_breaker(instances=["one"])

    told = Caller().post("/overrides", force(ORDERS, instances=["canary"]))

    assert ids(told) == [str(has.pk)]
    assert told["breakers"][0]["instances"] == ["canary"]


def test_many_can_be_planned_at_once() -> None:
    make_breaker()
    make_breaker()

    told = Caller().post("/overrides", force(ORDERS, starts_at=later()))

    assert [one["status"] for one in told["overrides"]] == ["planned", "planned"]
    assert PlannedOverride.objects.filter(ended_at=None).count() == 2
    assert not Override.objects.exists()


def later() -> str:
    return (timezone.now() + timedelta(hours=1)).isoformat()


def test_releasing_many_ends_what_stands_and_leaves_the_rest_alone() -> None:
    held, free = make_breaker(), make_breaker()
    call = Caller()
    call("PUT", f"/breakers/{held.pk}/override", FORCE)
    dry = call.post(
        "/overrides/release",
        {"match": ORDERS, "reason": "it is back", "dry_run": True},
        status=200,
    )
    assert (ids(dry), dry["released"]) == ([str(held.pk)], [])

    told = call.post(
        "/overrides/release",
        {"match": ORDERS, "reason": "it is back", "digest": dry["digest"]},
        status=200,
    )

    assert told["released"] == [{"breaker": str(held.pk), "revision": 2}]
    free.refresh_from_db()
    assert free.revision == 0
    assert Override.objects.get().end == "released"
    again = {"match": ORDERS, "reason": "it is back"}
    assert call("POST", "/overrides/release", again)[0] == 404


IS_OPEN = Match(state="open")
WISH = OverrideWish(mode=Mode.FORCED_OPEN, reason="x", expires_at=None)


@pytest.mark.django_db(transaction=True)
def test_what_stops_matching_while_it_waits_for_the_locks_is_not_touched() -> None:
    recovers, stays = make_breaker(state="open"), make_breaker(state="open")
    failures: list[BaseException] = []

    def call(digest: str | None = None) -> None:
        try:
            override_many(
                ids, IS_OPEN, wish=WISH, by=make_actor(), now=timezone.now(), digest=digest
            )
        except BaseException as problem:
            failures.append(problem)
        finally:
            connections.close_all()

    ids = many.matching(IS_OPEN, by=make_actor())
    digest = many.reach_of(ids, IS_OPEN, by=make_actor(), wish=WISH).digest
    threads = [threading.Thread(target=call), threading.Thread(target=call, args=(digest,))]
    with transaction.atomic():
        hold_all([recovers.pk])
        for thread in threads:
            thread.start()
        assert eventually(lambda: waiting_for_locks() == 2, within=30)
        recovers.breaker_instances.update(state="closed")
        Breaker.objects.filter(pk=recovers.pk).update(change=F("change") + 1)
    for thread in threads:
        thread.join(10)

    assert [type(problem) for problem in failures] == [SetChanged]
    assert list(Override.objects.values_list("breaker_id", flat=True)) == [stays.pk]


def waiting_for_locks() -> int:
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        (count,) = cursor.fetchone()
    return int(count)


@pytest.mark.django_db(transaction=True)
def test_many_callers_of_overlapping_sets_never_deadlock_and_each_revision_is_made_once() -> None:
    breakers = [make_breaker(service=f"s{n % 3}") for n in range(12)]
    orders = [breakers, breakers[::-1], breakers[::2], breakers[1::2][::-1]]
    failures: list[BaseException] = []

    def call(chosen: list[Breaker]) -> None:
        try:
            for _ in range(5):
                with transaction.atomic():
                    held = hold_all([one.pk for one in chosen])
                    many.stand(
                        [
                            (one, many.overriding(one, WISH, by=make_actor(), now=timezone.now()))
                            for one in held
                        ],
                        by=make_actor(),
                        now=timezone.now(),
                    )
        except BaseException as problem:
            failures.append(problem)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=call, args=(chosen,)) for chosen in orders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert not failures
    revisions = list(Breaker.objects.values_list("revision", flat=True))
    assert revisions == [15] * 12
    assert Override.objects.filter(ended_at=None).count() == 12
