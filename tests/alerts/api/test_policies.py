from __future__ import annotations

from typing import Any

import pytest

from alerts.evaluate import evaluate_pending
from alerts.models import Incident, Policy
from breakers.models import AuditEntry, Breaker, Override
from tests.alerts.api.callers import Caller
from tests.support.make import happens, make_breaker, make_policy

pytestmark = pytest.mark.django_db


def policy(**fields: Any) -> dict[str, Any]:
    return {"name": "fleet", "trip": {"percent": 50, "min_instances": 2, "window": 30}, **fields}


def outage(**fields: Any) -> Breaker:
    """Two of three instances have opened, and it was judged."""
    breaker = make_breaker(instances=("a", "b", "c"), **fields)
    for name in ("a", "b"):
        happens(breaker, "open", instance=name)
    evaluate_pending()
    return breaker


def test_a_policy_is_made_read_changed_and_deleted():
    call = Caller()

    made = call.post("/policies", policy(matchers=['service=~"ord.*"']))

    assert made["enabled"] is True
    assert made["mode"] == "enforce"
    assert made["trip"] == {"count": None, "percent": 50, "min_instances": 2, "window": 30}
    assert made["hold"] == 60
    assert made["probe"] == {"instances": 1, "successes": 3}
    assert made["max_breakers"] == 5
    assert made["holds"] == []
    assert call.get(f"/policies/{made['id']}") == made
    assert call.get("/policies") == {"items": [made], "next": None}

    status, changed = call("PUT", f"/policies/{made['id']}", policy(mode="suggest", hold=5))
    assert (status, changed["mode"], changed["hold"], changed["matchers"]) == (
        200,
        "suggest",
        5,
        [],
    )
    assert call("PUT", f"/policies/{made['id']}", changed)[0] == 200  # as it was read
    assert call("DELETE", f"/policies/{made['id']}") == (204, None)
    assert call("GET", f"/policies/{made['id']}")[0] == 404
    log = AuditEntry.objects.filter(subject_kind="policy").order_by("id")
    assert list(log.values_list("action", flat=True)) == [
        "create_policy",
        "change_policy",
        "change_policy",
        "delete_policy",
    ]


@pytest.mark.parametrize(
    ("fields", "loc"),
    [
        ({"name": ""}, ["name"]),
        ({"name": "a\0b"}, ["name"]),
        ({"mode": "force"}, ["mode"]),
        ({"trip": None}, ["trip"]),
        ({"trip": {}}, ["trip", "count"]),
        ({"trip": {"count": 2, "percent": 50}}, ["trip", "count"]),
        ({"trip": {"count": 0}}, ["trip", "count"]),
        ({"trip": {"percent": 0}}, ["trip", "percent"]),
        ({"trip": {"percent": 100.5}}, ["trip", "percent"]),
        ({"trip": {"percent": "NaN"}}, ["trip", "percent"]),
        ({"trip": {"count": 2, "min_instances": 0}}, ["trip", "min_instances"]),
        ({"trip": {"count": 2, "window": 0}}, ["trip", "window"]),
        ({"hold": 0}, ["hold"]),
        ({"hold": 3601}, ["hold"]),
        ({"hold": None}, ["hold"]),
        ({"probe": {"instances": 0}}, ["probe", "instances"]),
        ({"probe": {"successes": 0}}, ["probe", "successes"]),
        ({"max_breakers": 0}, ["max_breakers"]),
        ({"matchers": ['service="a"', "nonsense"]}, ["matchers", 1]),
        ({"matchers": ['service="a"', 'region="eu"']}, ["matchers", 1]),
        ({"matchers": ['instance="a"']}, ["matchers", 0]),
    ],
)
def test_what_is_wrong_is_told_with_its_place(fields: dict[str, Any], loc: list[Any]):
    status, said = Caller()("POST", "/policies", policy(**fields))

    assert status == 422
    assert said["errors"][0]["loc"] == loc
    assert said["errors"][0]["msg"]
    assert not Policy.objects.exists()


@pytest.mark.parametrize("text", ["0", "-1", "abc", "9" * 30, "1%00", "levers"])
def test_a_malformed_id_is_not_found(text: str):
    assert Caller()("GET", f"/policies/{text}")[0] == 404


@pytest.mark.parametrize("scopes", [["read"], ["read", "operate"], ["ingest"]])
def test_changing_policies_needs_admin_before_any_look_up(scopes: list[str]):
    call = Caller(scopes)

    for method, path in (
        ("POST", "/policies"),
        ("PUT", "/policies/999"),
        ("DELETE", "/policies/999"),
    ):
        assert call(method, path, policy())[0] == 403
    assert call("GET", "/policies/999")[0] == (404 if "read" in scopes else 403)
    assert call("GET", "/policies")[0] == (200 if "read" in scopes else 403)


def test_it_says_what_it_holds():
    call = Caller()
    made = call.post("/policies", policy())
    breaker = outage()

    assert call.get(f"/policies/{made['id']}")["holds"] == [str(breaker.pk)]
    [override] = call.get("/overrides")["items"]
    assert (override["mode"], override["by"]) == ("forced_open", "fleet")


def test_what_a_limited_key_makes_sees_and_acts_within_its_limits():
    limited = Caller(environment="prod", services=["orders"])
    made = limited.post("/policies", policy())
    beyond = Caller().post("/policies", policy(name="everywhere", mode="suggest"))

    assert (made["environments"], made["services"]) == (["prod"], ["orders"])
    outage(service="orders")
    for elsewhere in ({"environment": "staging"}, {"service": "billing"}):
        outage(**elsewhere)

    assert [one.breaker.service.name for one in Override.objects.filter(ended_at=None)] == [
        "orders"
    ]
    assert [one["id"] for one in limited.get("/policies")["items"]] == [made["id"]]
    for method in ("GET", "PUT", "DELETE"):
        assert limited(method, f"/policies/{beyond['id']}", policy())[0] == 404


def test_the_lever_is_for_operators_without_limits():
    make_policy()
    breaker = outage()
    pulled = {"stopped": True, "reason": "odd"}

    assert Caller(["read", "admin"])("PUT", "/policies/lever", pulled)[0] == 403
    for limits in ({"environment": "prod"}, {"services": ["orders"]}):
        assert Caller(**limits)("PUT", "/policies/lever", pulled)[0] == 403
    assert Override.objects.filter(breaker=breaker, ended_at=None).exists()

    status, said = Caller(["operate"])("PUT", "/policies/lever", pulled)

    assert (status, said["stopped"], said["reason"], said["by"]) == (200, True, "odd", "test")
    assert not Override.objects.filter(ended_at=None).exists()
    assert Caller(["read"]).get("/policies/lever") == said


def test_the_lever_wants_a_reason():
    call = Caller()

    assert call.get("/policies/lever") == {
        "stopped": False,
        "reason": "",
        "by": None,
        "at": None,
    }
    for wrong in ({"stopped": True}, {"stopped": True, "reason": " "}, {"reason": "x"}):
        assert call("PUT", "/policies/lever", wrong)[0] == 422
    assert call.get("/policies/lever")["stopped"] is False


def test_a_suggestion_is_an_incident_that_does_it_at_a_word():
    call = Caller()
    made = call.post("/policies", policy(mode="suggest"))
    breaker = outage()
    [incident] = call.get("/incidents?status=firing")["items"]

    assert incident["rule"] == {"id": f"policy-{made['id']}", "name": "fleet"}
    assert incident["breakers"] == [str(breaker.pk)]
    assert call("POST", f"/incidents/{incident['id']}/hold", {})[0] == 422
    assert Caller(["read"])("POST", f"/incidents/{incident['id']}/hold", {"reason": "x"})[0] == 403

    done = call.post(f"/incidents/{incident['id']}/hold", {"reason": "looks right"}, status=200)

    assert done["status"] == "resolved"
    override = Override.objects.get(ended_at=None)
    assert (override.by_kind, override.by_id) == ("policy", int(made["id"]))
    assert override.reason == (
        "2 of 3 instances opened within 30 s (test: looks right): held open on all for 60 s"
    )
    entry = AuditEntry.objects.get(action="hold_as_suggested")
    assert (entry.actor_name, entry.reason) == ("test", "looks right")
    assert call("POST", f"/incidents/{incident['id']}/hold", {"reason": "again"})[0] == 409


def test_a_suggestion_that_something_forbids_by_now_is_not_carried_out():
    call = Caller()
    call.post("/policies", policy(mode="suggest"))
    breaker = outage()
    [incident] = call.get("/incidents")["items"]
    call("PUT", "/policies/lever", {"stopped": True, "reason": "odd"})

    status, said = call("POST", f"/incidents/{incident['id']}/hold", {"reason": "x"})

    assert (status, said["detail"]) == (409, "All policies are stopped.")
    assert not Override.objects.filter(breaker=breaker).exists()
    assert Incident.objects.get().status == "firing"


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"guard": {"max_forced_percent": 0}}, "max_forced_percent"),
        ({"confirm": True}, "confirmed or approved"),
        ({"four_eyes": {"above": 5}}, "confirmed or approved"),
    ],
)
def test_a_suggestion_is_no_way_around_the_limits_of_an_environment(
    limits: dict[str, Any], said: str
):
    call = Caller()
    call.post("/policies", policy(mode="suggest"))
    outage()
    [incident] = call.get("/incidents")["items"]
    assert call("PUT", "/environments/prod", limits)[0] == 200

    status, problem = call("POST", f"/incidents/{incident['id']}/hold", {"reason": "x"})

    assert (status, said in problem["detail"]) == (409, True)
    assert not Override.objects.exists()


def test_an_incident_of_a_rule_suggests_nothing():
    call = Caller()
    call.post("/rules", {"name": "any", "kind": "opened"})
    outage()
    [incident] = call.get("/incidents")["items"]

    status, said = call("POST", f"/incidents/{incident['id']}/hold", {"reason": "x"})

    assert (status, said["detail"]) == (409, "This incident suggests nothing.")


def test_a_suggestion_is_acknowledged_and_resolved_like_any_other():
    call = Caller()
    call.post("/policies", policy(mode="suggest"))
    outage()
    [incident] = call.get("/incidents")["items"]

    call.post(f"/incidents/{incident['id']}/acknowledge", {"reason": "on it"}, status=200)
    call.post(f"/incidents/{incident['id']}/resolve", {"reason": "not now"}, status=200)
    evaluate_pending()

    assert [one["status"] for one in call.get("/incidents")["items"]] == ["resolved"]
