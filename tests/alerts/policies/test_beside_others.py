"""Policies beside what people plan, release by the dozen, rename, remove and repeat."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from alerts.due import sweep
from alerts.evaluate import evaluate_pending
from alerts.models import Incident, Policy, PolicyCase
from breakers.desired.many import release_many, standing
from breakers.desired.override import OverrideWish
from breakers.desired.plan import plan_override, start_due
from breakers.live.match import Match
from breakers.models import AuditEntry, Breaker, Instance, Override, PlannedOverride, Role
from breakers.removing import remove_breaker
from breakers.renaming import rename_instance, rename_service
from breakers.states import Mode
from tests.alerts.api.callers import Caller
from tests.alerts.policies.held import comes_due, held
from tests.support.make import happens, make_actor, make_breaker, make_key, make_policy
from tests.support.people import signed_in, text_of

pytestmark = pytest.mark.django_db
POLICY = {"name": "fleet", "mode": "suggest", "trip": {"count": 2}}


def outage(**fields: Any) -> Breaker:
    """Two of three instances have opened, and it was judged."""
    breaker = make_breaker(instances=("a", "b", "c"), **fields)
    opens(breaker)
    return breaker


def opens(breaker: Breaker) -> None:
    for name in ("a", "b"):
        happens(breaker, "open", instance=name)
    evaluate_pending()


@pytest.mark.parametrize("planned_first", [True, False])
def test_a_planned_override_takes_the_place_of_a_policys(planned_first: bool):
    make_policy()
    breaker = make_breaker(instances=("a", "b", "c"))
    if not planned_first:
        opens(breaker)
    wish = OverrideWish(
        mode=Mode.FORCED_CLOSED,
        reason="maintenance",
        expires_at=None,
        starts_at=timezone.now() + timedelta(hours=1),
    )
    plan_override(breaker, wish=wish, by=make_actor(), now=timezone.now())
    if planned_first:
        opens(breaker)
    comes_due(breaker)  # it goes on, beside the plan
    before = held(breaker)
    assert before is not None
    assert before.by_kind == "policy"

    PlannedOverride.objects.update(starts_at=timezone.now() - timedelta(seconds=1))
    assert start_due() == 1
    comes_due(breaker)

    after = held(breaker)
    assert after is not None
    assert (after.by_kind, after.mode) == ("person", "forced_closed")
    assert PolicyCase.objects.get().phase == "watching"


def test_a_release_of_many_keeps_policies_off_as_one_of_one_does():
    make_policy()
    breakers = [outage(service=f"service-{n}") for n in range(3)]
    ada = make_actor()

    ids = standing(Match(), by=ada)
    release_many(ids, Match(), reason="not now", by=ada, now=timezone.now())
    for breaker in breakers:
        happens(breaker, "half_open", instance="a")
        happens(breaker, "half_open", instance="b")
        opens(breaker)

    assert [held(one) for one in breakers] == [None, None, None]
    assert all("ada released it" in (case.blocked or "") for case in PolicyCase.objects.all())


def test_one_that_is_limited_to_a_service_follows_it_to_its_new_name():
    policy = make_policy(by=make_actor(environments=["prod"], services=["orders"]))
    elsewhere = make_policy("staging", by=make_actor(environments=["staging"], services=["orders"]))
    breaker = outage(service="orders")

    rename_service(breaker.service, "shop", reason="a better word", by=make_actor())
    comes_due(breaker)

    standing = held(breaker)
    assert standing is not None
    assert (standing.by_id, len(standing.excepted)) == (policy.pk, 1)
    for row, names in ((policy, ["orders", "shop"]), (elsewhere, ["orders"])):
        row.refresh_from_db()
        assert row.services == names


def test_what_it_holds_by_a_matcher_of_the_old_name_is_released_when_it_would_go_on():
    make_policy(matchers=['service="orders"'])
    breaker = outage(service="orders")

    rename_service(breaker.service, "shop", reason="a better word", by=make_actor())
    comes_due(breaker)

    assert held(breaker) is None
    assert not PolicyCase.objects.exists()


def test_a_change_of_a_policy_leaves_its_limits_as_they_are():
    policy = make_policy(by=make_actor(environments=["prod"], services=["orders"]))
    breaker = outage(service="orders")
    rename_service(breaker.service, "shop", reason="a better word", by=make_actor())
    said = Caller().get(f"/policies/{policy.pk}")

    status, changed = Caller()("PUT", f"/policies/{policy.pk}", said | {"hold": 5})

    assert (status, changed["services"]) == (200, ["orders", "shop"])
    assert held(breaker) is None
    evaluate_pending()
    assert held(breaker) is not None


def test_an_instance_that_is_renamed_while_it_probes_goes_on_probing():
    make_policy(probe={"instances": 1, "successes": 2})
    breaker = outage()
    comes_due(breaker)
    probing = held(breaker)
    assert probing is not None
    [probe] = probing.excepted

    rename_instance(
        Instance.objects.get(name=probe), "pod-7", reason="a better word", by=make_actor()
    )
    happens(breaker, "half_open", instance="pod-7")
    happens(breaker, "closed", instance="pod-7")
    evaluate_pending()

    [case] = PolicyCase.objects.all()
    further = held(breaker)
    assert further is not None
    assert (case.phase, case.recovered) == ("probing", ["pod-7"])
    assert "pod-7" in further.excepted
    assert probe not in further.excepted


def test_with_a_removed_breaker_goes_what_is_held_of_it():
    make_policy(max_breakers=1)
    breaker, other = outage(service="orders"), outage(service="billing")
    assert held(other) is None

    remove_breaker(breaker, history="keep", reason="gone", by=make_actor(), now=timezone.now())
    PolicyCase.objects.update(check_at=timezone.now())
    evaluate_pending()

    assert held(other) is not None
    assert [case.breaker_id for case in PolicyCase.objects.all()] == [other.pk]


def test_of_a_removed_breaker_nothing_is_suggested_any_more():
    call = Caller()
    call.post("/policies", POLICY)
    breaker = outage()
    [incident] = call.get("/incidents?status=firing")["items"]

    remove_breaker(breaker, history="keep", reason="gone", by=make_actor(), now=timezone.now())
    status, said = call("POST", f"/incidents/{incident['id']}/hold", {"reason": "x"})
    assert (status, said["detail"]) == (409, "The breaker was removed.")
    sweep(timezone.now())

    seen = call.get(f"/incidents/{incident['id']}")
    assert (seen["status"], seen["breakers"]) == ("resolved", [])
    assert "Its breakers are gone" in text_of(
        signed_in(Role.VIEWER), f"/incidents/{incident['id']}/"
    )


def test_a_suggestion_is_exported_as_that_of_a_policy():
    call = Caller()
    made = call.post("/policies", POLICY)
    outage()
    [incident] = call.get("/incidents")["items"]

    whole = call.get(f"/incidents/{incident['id']}/export?format=json")
    text = call.raw("GET", f"/incidents/{incident['id']}/export?format=md").content.decode()

    assert whole["rule"] == {"id": f"policy-{made['id']}", "name": "fleet"}
    assert "| Policy | fleet |" in text
    assert "| Rule |" not in text


def test_a_suggestion_that_was_snoozed_ends_as_any_other():
    call = Caller()
    call.post("/policies", POLICY)
    breaker = outage()
    [incident] = call.get("/incidents")["items"]

    call.post(f"/incidents/{incident['id']}/snooze", {"for": 60}, status=200)
    sweep(timezone.now() + timedelta(seconds=61))
    assert Incident.objects.get().resolved_at is None
    for name in ("a", "b"):
        happens(breaker, "closed", instance=name)
    evaluate_pending()

    assert call.get(f"/incidents/{incident['id']}")["status"] == "resolved"
    assert call.get("/deliveries")["items"] == []


def test_a_repeated_call_makes_one_policy_and_carries_out_one_suggestion():
    _, text = make_key(scopes=("read", "operate", "admin"))
    headers = {"Authorization": f"Bearer {text}", "Idempotency-Key": "k1"}

    def post(path: str, body: dict[str, Any]) -> tuple[int, bytes]:
        answer = Client().post(
            f"/api/v1/{path}", json.dumps(body), content_type="application/json", headers=headers
        )
        return answer.status_code, answer.content

    first = post("policies", POLICY)
    assert first[0] == 201
    assert post("policies", POLICY) == first
    assert Policy.objects.count() == 1
    breaker = outage()
    incident = Incident.objects.get()

    first = post(f"incidents/{incident.pk}/hold", {"reason": "looks right"})
    assert first[0] == 200
    assert post(f"incidents/{incident.pk}/hold", {"reason": "looks right"}) == first
    assert Override.objects.filter(breaker=breaker).count() == 1
    assert AuditEntry.objects.filter(action="hold_as_suggested").count() == 1


def test_the_lever_releases_what_several_policies_hold_of_several_services():
    for service in ("orders", "billing"):
        make_policy(service, matchers=[f'service="{service}"'])
    breakers = [outage(service=service) for service in ("billing", "orders")]
    assert all(held(one) for one in breakers)

    call = Caller()
    assert call("PUT", "/policies/lever", {"stopped": True, "reason": "odd"})[0] == 200

    assert [held(one) for one in breakers] == [None, None]
    released = AuditEntry.objects.filter(action="release").order_by("actor_name")
    assert [(one.actor_name, one.reason) for one in released] == [
        ("billing", "All policies were stopped by test: odd"),
        ("orders", "All policies were stopped by test: odd"),
    ]


def test_a_rule_about_overrides_that_end_soon_says_nothing_of_a_policys():
    make_policy()
    call = Caller()
    for kind, params in (("override_expiring", {"within": 600}), ("override_age", {"for": 1})):
        call.post("/rules", {"name": kind, "kind": kind, "params": params})
    outage()

    Override.objects.update(created_at=timezone.now() - timedelta(seconds=2))
    evaluate_pending()

    assert [one["rule"]["name"] for one in call.get("/incidents")["items"]] == ["override_age"]
