"""Overrides that begin later: planned, shown, cancelled, started, held up, missed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from breakers.desired.override import OverrideWish, override_breaker, release_breaker
from breakers.desired.plan import Due, cancel_plan, due, plan_override, start_due
from breakers.models import AuditEntry, Breaker, Override, PlannedOverride
from breakers.states import Mode
from tests.alerts.api.callers import Caller
from tests.breakers.test_control_api import FORCE
from tests.support.make import make_actor, make_breaker
from tests.support.web import Web

T0 = datetime(2026, 3, 1, 4, tzinfo=UTC)
HOUR = timedelta(hours=1)


def planned(**fields: Any) -> PlannedOverride:
    return PlannedOverride(**{"starts_at": T0, "expires_at": T0 + HOUR, "stood_id": 7} | fields)


@pytest.mark.parametrize(
    ("waiting", "standing", "now", "wanted"),
    [
        (planned(), None, T0 - HOUR, Due.WAIT),
        (planned(), None, T0, Due.START),
        # Down at the start: late, as long as something is left of it.
        (planned(), None, T0 + HOUR / 2, Due.START),
        (planned(), None, T0 + HOUR, Due.MISS),
        (planned(expires_at=None), None, T0 + 1000 * HOUR, Due.START),
        # What stood when it was planned is replaced; what somebody decided since is not.
        (planned(), Override(pk=7, by_kind="person"), T0, Due.START),
        (planned(), Override(pk=8, by_kind="person"), T0, Due.WAIT),
        (planned(), Override(pk=8, by_kind="key"), T0, Due.WAIT),
        (planned(), Override(pk=8, by_kind="policy"), T0, Due.START),
        (planned(), Override(pk=8, by_kind="person"), T0 + HOUR, Due.MISS),
    ],
)
def test_what_becomes_of_it(
    waiting: PlannedOverride, standing: Override | None, now: datetime, wanted: Due
) -> None:
    assert due(waiting, standing, now) is wanted


ANA = make_actor(name="ana")
pytestmark = pytest.mark.django_db


def wish(**fields: Any) -> OverrideWish:
    said = {"mode": Mode.FORCED_OPEN, "reason": "maintenance", "expires_at": None} | fields
    return OverrideWish(**said)


def plan(breaker: Breaker, *, expires_in: timedelta | None = HOUR, **fields: Any) -> None:
    """Planned an hour ahead, as somebody did; `it_is_time` brings the moment."""
    starts_at = timezone.now() + HOUR
    ends = None if expires_in is None else starts_at + expires_in
    said = wish(starts_at=starts_at, expires_at=ends, **fields)
    plan_override(breaker, wish=said, by=ANA, now=timezone.now())


def it_is_time(*, passed: timedelta = timedelta(seconds=1)) -> None:
    for one in PlannedOverride.objects.filter(ended_at=None):
        back = one.starts_at - timezone.now() + passed
        one.starts_at -= back
        one.expires_at = one.expires_at and one.expires_at - back
        one.save()


def acts() -> list[tuple[str, str]]:
    return [(one.action, one.actor_name) for one in AuditEntry.objects.order_by("id")]


def test_it_waits_and_is_seen_as_planned() -> None:
    breaker, call = make_breaker(), Caller()
    starts_at = timezone.now() + HOUR
    body = FORCE | {"starts_at": starts_at.isoformat()}

    status, told = call("PUT", f"/breakers/{breaker.pk}/override", body)

    assert (status, told["status"], told["revision"]) == (200, "planned", 1)
    ends = datetime.fromisoformat(told["expires_at"]) - datetime.fromisoformat(told["starts_at"])
    assert ends == timedelta(seconds=600)
    seen = call.get(f"/breakers/{breaker.pk}")
    assert (seen["override"], seen["planned"]["reason"]) == (None, "maintenance")
    assert call.get("/overrides")["items"] == []
    [listed] = call.get("/overrides?status=planned")["items"]
    assert (listed["id"], listed["service"]) == (told["id"], "orders")
    assert start_due() == 0


@pytest.mark.parametrize(
    ("fields", "loc"),
    [
        ({"starts_at": "2020-01-01T00:00:00Z"}, "starts_at"),
        ({"starts_at": "2999-01-01T00:00:00Z"}, "starts_at"),
        ({"starts_at": "tomorrow"}, "starts_at"),
        ({"starts_at": "2020-01-01T00:00:00"}, "starts_at"),
        ({"starts_at": "SOON", "expires_in": None, "expires_at": "BEFORE"}, "expires_at"),
    ],
)
def test_an_odd_start_is_refused_with_its_place(fields: dict[str, Any], loc: str) -> None:
    soon = {
        "SOON": (timezone.now() + HOUR).isoformat(),
        "BEFORE": (timezone.now() + HOUR / 2).isoformat(),
    }
    body = FORCE | {name: soon.get(said, said) for name, said in fields.items()}

    status, problem = Caller()("PUT", f"/breakers/{make_breaker().pk}/override", body)

    assert (status, problem["errors"][0]["loc"]) == (422, [loc])
    assert not PlannedOverride.objects.exists()
    assert not Override.objects.exists()


def test_at_its_time_it_stands_under_its_authors_name_with_a_new_revision() -> None:
    breaker = make_breaker()
    plan(breaker, excepted=["canary"])
    it_is_time()

    assert start_due() == 1

    override = Override.objects.get(ended_at=None)
    assert (override.by_name, override.reason, override.excepted) == (
        "ana",
        "maintenance",
        ["canary"],
    )
    breaker.refresh_from_db()
    assert override.revision == breaker.revision == 2
    assert override.expires_at == PlannedOverride.objects.get().expires_at
    assert acts() == [("plan_override", "ana"), ("start_override", "Panelboard")]
    entry = AuditEntry.objects.get(action="start_override")
    assert entry.after is not None
    assert entry.after["by"] == "ana"
    assert start_due() == 0


def test_it_replaces_what_stood_when_it_was_planned() -> None:
    breaker = make_breaker()
    override_breaker(breaker, wish=wish(reason="first"), by=ANA, now=timezone.now())
    plan(breaker)
    it_is_time()

    start_due()

    ends = dict(Override.objects.values_list("reason", "end"))
    assert ends == {"first": "replaced", "maintenance": None}


def test_a_newer_override_of_somebodys_is_kept_and_the_planned_one_waits_for_its_end() -> None:
    breaker, bo = make_breaker(), make_actor(name="bo")
    plan(breaker)
    override_breaker(breaker, wish=wish(reason="newer"), by=bo, now=timezone.now())
    it_is_time()

    assert start_due() == 0
    assert Override.objects.get(ended_at=None).reason == "newer"

    release_breaker(breaker, reason="done", by=bo, now=timezone.now())
    assert start_due() == 1
    assert Override.objects.get(ended_at=None).reason == "maintenance"


def test_one_whose_time_has_passed_is_recorded_as_missed() -> None:
    breaker = make_breaker()
    plan(breaker, expires_in=HOUR)
    it_is_time(passed=2 * HOUR)

    assert start_due() == 1

    assert PlannedOverride.objects.get().end == "missed"
    assert not Override.objects.exists()
    assert acts()[-1] == ("miss_override", "Panelboard")


def test_it_starts_late_for_what_is_left_of_its_time() -> None:
    breaker = make_breaker()
    plan(breaker, expires_in=HOUR)
    it_is_time(passed=HOUR / 2)

    start_due()

    override = Override.objects.get()
    assert override.expires_at is not None
    left = override.expires_at - timezone.now()
    assert timedelta(minutes=25) < left <= timedelta(minutes=30)


def test_it_can_be_cancelled_and_only_by_saying_so() -> None:
    breaker, call = make_breaker(), Caller()
    plan(breaker)
    path = f"/breakers/{breaker.pk}/override"

    released, problem = call("DELETE", path, {"reason": "not tonight"})
    stale = call("DELETE", path, {"reason": "not tonight", "planned": True})

    assert (released, stale[0]) == (404, 200)
    assert "planned" in problem["detail"]
    assert stale[1]["revision"] == 2
    it_is_time()
    assert start_due() == 0
    assert PlannedOverride.objects.get().end == "cancelled"
    assert acts()[-1] == ("cancel_override", "test")
    assert call("DELETE", path, {"reason": "again", "planned": True})[0] == 404


def test_cancelling_leaves_what_stands() -> None:
    breaker = make_breaker()
    override_breaker(breaker, wish=wish(reason="stands"), by=ANA, now=timezone.now())
    plan(breaker)

    cancel_plan(breaker, reason="no", by=ANA, now=timezone.now())

    assert Override.objects.get(ended_at=None).reason == "stands"


def test_planning_anew_replaces_what_was_planned() -> None:
    breaker = make_breaker()
    plan(breaker, reason="first")
    plan(breaker, reason="second")
    it_is_time()

    start_due()

    assert Override.objects.get().reason == "second"
    assert dict(PlannedOverride.objects.values_list("reason", "end")) == {
        "first": "replaced",
        "second": "started",
    }
    entry = AuditEntry.objects.filter(action="plan_override").latest("id")
    assert entry.before is not None
    assert entry.before["reason"] == "first"


def test_what_was_planned_for_many_starts_whole() -> None:
    for _ in range(5):
        plan(make_breaker())
    it_is_time()

    assert start_due() == 5
    assert Override.objects.filter(ended_at=None).count() == 5


@pytest.mark.django_db(transaction=True)
async def test_agents_hear_of_it_at_its_start_and_not_before(web: Web) -> None:
    async with web.agent({"breaker": "catalog", "state": "closed"}) as agent:
        id = (await web.breaker("orders", "catalog"))["id"]
        starts_at = timezone.now() + timedelta(seconds=1.5)
        body = FORCE | {"starts_at": starts_at.isoformat()}

        answer = await web.call("PUT", f"breakers/{id}/override", body)

        assert answer.status_code == 200, answer.text
        planning = await agent.hear("desired")
        assert planning["mode"] is None
        started = await agent.hear("desired")
        assert (started["mode"], started["reason"]) == ("forced_open", "maintenance")
        assert timezone.now() >= starts_at
        assert started["expires_in"] <= 600
