from __future__ import annotations

from typing import Any

import pytest

from alerts.evaluate import evaluate_pending
from alerts.models import Incident, Rule
from breakers.models import AuditEntry
from tests.alerts.api.callers import Caller
from tests.support.make import happens, make_breaker, make_channel

pytestmark = pytest.mark.django_db


def rule(**fields: Any) -> dict[str, Any]:
    return {"name": "any open", "kind": "opened", "severity": "critical", **fields}


def test_a_rule_is_made_read_changed_and_deleted():
    call = Caller()
    channel = make_channel()

    made = call.post("/rules", rule(matchers=['service=~"ord.*"'], channels=[str(channel.pk)]))

    assert made["enabled"] is True
    assert made["group_by"] == ["target"]
    assert made["clear_for"] == 0
    assert made["channels"] == [str(channel.pk)]
    assert (made["remind_every"], made["escalation"], made["template"]) == (None, [], None)
    assert call.get(f"/rules/{made['id']}") == made
    assert call.get("/rules")["items"] == [made]

    status, changed = call("PUT", f"/rules/{made['id']}", rule(name="other", clear_for=30))
    assert (status, changed["name"], changed["clear_for"], changed["channels"]) == (
        200,
        "other",
        30,
        [],
    )
    assert call("DELETE", f"/rules/{made['id']}") == (204, None)
    assert call("GET", f"/rules/{made['id']}")[0] == 404
    actions = (
        AuditEntry.objects.filter(subject_kind="rule")
        .order_by("id")
        .values_list("action", flat=True)
    )
    assert list(actions) == ["create_rule", "change_rule", "delete_rule"]


@pytest.mark.parametrize(
    ("fields", "loc"),
    [
        ({"name": ""}, ["name"]),
        ({"name": "a\0b"}, ["name"]),
        ({"name": "a\nb"}, ["name"]),
        ({"name": "x" * 201}, ["name"]),
        ({"kind": "no_such"}, ["kind"]),
        ({"severity": "grave"}, ["severity"]),
        ({"matchers": ['a="b"', "nonsense"]}, ["matchers", 1]),
        ({"matchers": ['a=~"("']}, ["matchers", 0]),
        ({"matchers": ['a="b"'] * 21}, ["matchers"]),
        ({"channels": ["999"]}, ["channels", 0]),
        ({"channels": ["nonsense"]}, ["channels", 0]),
        ({"group_by": []}, ["group_by"]),
        ({"group_by": ["colour"]}, ["group_by", 0]),
        ({"clear_for": -1}, ["clear_for"]),
        ({"clear_for": "soon"}, ["clear_for"]),
        ({"params": []}, ["params"]),
        ({"runbook_url": "javascript:alert(1)"}, ["runbook_url"]),
        ({"remind_every": 600}, ["remind_every"]),
        ({"escalation": [{"after": 900, "channels": []}]}, ["escalation"]),
        ({"template": "{{ x }}"}, ["template"]),
    ],
)
def test_what_is_wrong_is_told_with_its_place(fields: dict[str, Any], loc: list[Any]):
    status, said = Caller()("POST", "/rules", rule(**fields))

    assert status == 422
    assert said["errors"][0]["loc"] == loc
    assert said["errors"][0]["msg"]
    assert not Rule.objects.exists()


@pytest.mark.parametrize(
    ("kind", "params", "field", "words"),
    [
        ("flapping", {"trips": 1, "window": 60}, "trips", "must be at least 2"),
        ("flapping", {"trips": 3}, "window", "is required"),
        ("flapping", {"trips": 2.5, "window": 60}, "trips", "must be a whole number"),
        ("flapping", {"trips": 3, "window": 100_000}, "window", "must be at most 86400"),
        ("open_instances", {"count": 0}, "count", "must be at least 1"),
        ("open_instances", {"count": "two"}, "count", "must be a whole number"),
        ("open_instances", {"percent": 0}, "percent", "must be more than 0"),
        ("open_instances", {"percent": 101}, "percent", "must be at most 100"),
        ("open_instances", {}, "count", "give either a count or a percentage"),
        ("failure_rate", {"threshold": "half"}, "threshold", "must be a number"),
    ],
)
def test_a_wrong_param_is_told_by_its_name_in_plain_words(
    kind: str, params: dict[str, Any], field: str, words: str
):
    call = Caller()

    for path in ("/rules", "/rules/preview"):
        status, said = call("POST", path, rule(kind=kind, params=params))
        assert (status, said["errors"]) == (422, [{"loc": ["params", field], "msg": words}])


def test_a_label_that_nothing_has_is_refused_beside_its_matcher():
    make_breaker(service="orders", labels={"team": "payments"})
    call = Caller()

    status, said = call("POST", "/rules", rule(matchers=['team="payments"', 'env="prod"']))

    assert (status, [error["loc"] for error in said["errors"]]) == (422, [["matchers", 1]])
    assert "“env”" in said["errors"][0]["msg"]
    assert "environment" in said["errors"][0]["msg"]
    call.post("/rules", rule(matchers=['team="payments"', 'library=~"py.*"']))


def test_a_rule_may_keep_a_label_whose_last_instance_has_gone():
    breaker = make_breaker(labels={"team": "payments"})
    call = Caller()
    made = call.post("/rules", rule(matchers=['team="payments"']))
    breaker.breaker_instances.update(labels={})

    off = rule(matchers=['team="payments"'], enabled=False)

    assert call("PUT", f"/rules/{made['id']}", off)[0] == 200
    assert call("POST", "/rules", off)[0] == 422


def test_how_many_breakers_matchers_choose_is_told_within_the_limits():
    make_breaker(service="orders", labels={"team": "a"}, instances=("one", "two"))
    make_breaker(service="feed", labels={"team": "b"})
    make_breaker(service="orders", environment="staging")
    everywhere, limited = Caller(), Caller(["read"], environment="prod", services=["feed"])

    def told(call: Caller, *matchers: str) -> tuple[int, int]:
        said = call.post("/rules/matching", {"matchers": matchers}, status=200)
        return said["breakers"], said["of"]

    assert told(everywhere, 'service="orders"') == (2, 3)
    assert told(everywhere, 'team="a"') == (1, 3)
    assert told(everywhere, 'service="nobody"') == (0, 3)
    assert told(everywhere) == (3, 3)
    assert told(limited) == (1, 1)
    assert limited("POST", "/rules/matching", {"matchers": ["nonsense"]})[0] == 422


def test_what_is_not_built_yet_says_so():
    _, said = Caller()("POST", "/rules", rule(remind_every=600))

    assert said["errors"][0]["msg"] == "is not available yet"


def test_unknown_fields_are_ignored():
    assert Caller()("POST", "/rules", rule(colour="red"))[0] == 201


@pytest.mark.parametrize("text", ["0", "-1", "abc", "9" * 30, "1%00", "١"])
def test_a_malformed_id_is_not_found(text: str):
    assert Caller()("GET", f"/rules/{text}")[0] == 404


@pytest.mark.parametrize("scopes", [["read"], ["read", "operate"], ["ingest"]])
def test_changing_rules_needs_admin_before_any_look_up(scopes: list[str]):
    call = Caller(scopes)

    for method, path in (("POST", "/rules"), ("PUT", "/rules/999"), ("DELETE", "/rules/999")):
        assert call(method, path, rule())[0] == 403
    assert call("GET", "/rules/999")[0] == (404 if "read" in scopes else 403)


def test_a_rule_made_during_an_outage_fires_for_what_is_open_already():
    make_breaker(state="open")

    Caller().post("/rules", rule())
    evaluate_pending()

    assert Incident.objects.get().status == "firing"


def test_switching_a_rule_off_resolves_what_it_fired():
    call = Caller()
    made = call.post("/rules", rule())
    happens(make_breaker(), "open")
    evaluate_pending()

    call("PUT", f"/rules/{made['id']}", rule(enabled=False))

    assert Incident.objects.get().status == "resolved"
    (entry,) = Incident.objects.get().entries.filter(kind="resolved")
    assert entry.text == "The rule was switched off."


def test_a_new_name_leaves_incidents_alone_and_a_new_condition_does_not():
    call = Caller()
    made = call.post("/rules", rule())
    happens(make_breaker(), "open")
    evaluate_pending()

    call("PUT", f"/rules/{made['id']}", rule(name="other"))
    assert [one.status for one in Incident.objects.all()] == ["firing"]

    call("PUT", f"/rules/{made['id']}", rule(group_by=["service"]))
    evaluate_pending()
    assert [one.status for one in Incident.objects.order_by("id")] == ["resolved", "firing"]


def test_what_a_limited_key_makes_sees_and_acts_within_its_limits():
    limited = Caller(environment="prod")
    made = limited.post("/rules", rule())

    happens(make_breaker(environment="staging"), "open")
    happens(make_breaker(environment="prod"), "open")
    evaluate_pending()

    assert made["environments"] == ["prod"]
    assert [one.environment for one in Incident.objects.all()] == ["prod"]


def test_a_limited_key_sees_no_rules_or_channels_of_others():
    everywhere = Caller()
    made = everywhere.post("/rules", rule())
    channel = make_channel()
    limited = Caller(environment="prod", services=["orders"])

    assert limited.get("/rules")["items"] == []
    assert limited("GET", f"/rules/{made['id']}")[0] == 404
    assert limited("DELETE", f"/rules/{made['id']}")[0] == 404
    assert limited("GET", f"/channels/{channel.pk}")[0] == 404
    status, said = limited("POST", "/rules", rule(channels=[str(channel.pk)]))
    assert (status, said["errors"][0]["loc"]) == (422, ["channels", 0])


def test_pages_hold_together_and_a_cursor_belongs_to_its_list():
    call = Caller()
    names = [call.post("/rules", rule(name=f"r{number}"))["name"] for number in range(5)]

    seen, path = [], "/rules?limit=2"
    while path:
        said = call.get(path)
        seen += [one["name"] for one in said["items"]]
        path = said["next"] and f"/rules?limit=2&cursor={said['next']}"

    assert seen == names[::-1]
    cursor = call.get("/rules?limit=2")["next"]
    assert call("GET", f"/channels?cursor={cursor}")[0] == 422
