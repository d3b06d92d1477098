from __future__ import annotations

from datetime import timedelta

import pytest

from alerts.channels import Failed
from alerts.deliver import Speed, claim_due, finish
from alerts.due import sweep
from alerts.evaluate import evaluate_pending
from alerts.models import Delivery, Incident
from alerts.read import newest_deliveries, open_incidents
from breakers.clock import database_now
from breakers.models import AuditEntry
from tests.alerts.api.callers import Caller
from tests.support.make import happens, make_actor, make_breaker, make_channel, make_rule

pytestmark = pytest.mark.django_db
FIELDS = {
    "id",
    "rule",
    "severity",
    "status",
    "target",
    "breakers",
    "muted",
    "summary",
    "started_at",
    "acknowledged_at",
    "acknowledged_by",
    "resolved_at",
    "url",
}


def fire(**breaker: object):
    made = make_breaker(**breaker)  # type: ignore[arg-type]
    happens(made, "open")
    evaluate_pending()
    return made


def test_an_incident_has_exactly_the_contracts_fields():
    make_rule("any open")
    breaker = fire(service="orders", name="catalog")

    (said,) = Caller(["read"]).get("/incidents")["items"]

    assert set(said) == FIELDS
    assert said["breakers"] == [str(breaker.pk)]
    assert said["rule"]["name"] == "any open"
    assert said["url"] == f"http://testserver/incidents/{said['id']}/"
    assert said["started_at"].endswith("Z")


def test_one_incident_comes_with_its_timeline_notes_and_deliveries():
    make_rule(channels=[make_channel()])
    breaker = fire()
    call = Caller()
    (said,) = call.get("/incidents")["items"]

    call.post(f"/incidents/{said['id']}/acknowledge", {"note": "on it"}, status=200)
    note = call.post(f"/incidents/{said['id']}/notes", {"text": "it is the disk"})
    happens(breaker, "closed")
    evaluate_pending()

    one = call.get(f"/incidents/{said['id']}")
    assert set(one) == FIELDS | {
        "environment",
        "snoozed_until",
        "timeline",
        "notes",
        "deliveries",
    }
    assert [entry["kind"] for entry in one["timeline"]] == [
        "fired",
        "acknowledged",
        "note",
        "resolved",
    ]
    assert one["notes"] == [note]
    assert {row["type"] for row in one["deliveries"]} == {
        "incident.firing",
        "incident.acknowledged",
        "incident.resolved",
    }
    assert (one["status"], one["acknowledged_by"]) == ("resolved", "test")
    actions = set(AuditEntry.objects.values_list("action", flat=True))
    assert {"acknowledge_incident", "note_on_incident"} <= actions


def test_incidents_are_chosen_by_status():
    make_rule(group_by=["breaker"])
    for _ in range(3):
        fire()
    call = Caller()
    first, second, third = call.get("/incidents")["items"]
    call.post(f"/incidents/{first['id']}/acknowledge", status=200)
    call.post(f"/incidents/{second['id']}/resolve", {"reason": "a drill"}, status=200)

    def ids(status: str) -> list[str]:
        return [one["id"] for one in call.get(f"/incidents?status={status}")["items"]]

    assert ids("acknowledged") == [first["id"]]
    assert ids("resolved") == [second["id"]]
    assert ids("firing") == [third["id"]]
    assert ids("firing,resolved") == [second["id"], third["id"]]
    assert call("GET", "/incidents?status=burning")[0] == 422


def test_acknowledging_twice_is_once_and_a_resolved_one_is_a_conflict():
    make_rule()
    fire()
    call = Caller()
    (said,) = call.get("/incidents")["items"]

    first = call.post(f"/incidents/{said['id']}/acknowledge", status=200)
    assert call.post(f"/incidents/{said['id']}/acknowledge", status=200) == first
    resolved = call.post(f"/incidents/{said['id']}/resolve", status=200)
    assert call.post(f"/incidents/{said['id']}/resolve", status=200) == resolved
    assert call("POST", f"/incidents/{said['id']}/acknowledge")[0] == 409


@pytest.mark.parametrize("text", ["", "   ", "a\0b", "x" * 10_001])
def test_odd_notes_are_refused(text: str):
    make_rule()
    fire()
    call = Caller()
    (said,) = call.get("/incidents")["items"]

    status, problem = call("POST", f"/incidents/{said['id']}/notes", {"text": text})

    assert (status, problem["errors"][0]["loc"]) == (422, ["text"])


def test_acting_needs_operate_before_any_look_up():
    call = Caller(["read", "admin"])

    for path in (
        "/incidents/999/acknowledge",
        "/incidents/999/resolve",
        "/deliveries/999/retry",
    ):
        assert call("POST", path)[0] == 403
    assert call("POST", "/incidents/999/notes", {"text": "x"})[0] == 403
    assert Caller(["operate"])("GET", "/incidents")[0] == 403


def test_a_limited_key_sees_its_incidents_and_in_them_its_breakers():
    make_rule()
    mine = fire(service="orders", target="catalog")
    fire(service="search", target="catalog")
    fire(service="search", target="users")
    fire(service="orders", target="catalog", environment="staging")
    call = Caller(environment="prod", services=["orders"])

    (said,) = call.get("/incidents")["items"]

    assert said["breakers"] == [str(mine.pk)]
    assert said["summary"] == f"orders/{mine.name} opened in prod"
    assert "search" not in str(call.get(f"/incidents/{said['id']}"))
    # What is done to an incident is done to all of it.
    assert call("POST", f"/incidents/{said['id']}/resolve")[0] == 403
    others = {one["id"] for one in Caller().get("/incidents")["items"]} - {said["id"]}
    for other in others:
        assert call("GET", f"/incidents/{other}")[0] == 404
        assert call("POST", f"/incidents/{other}/resolve")[0] == 404


def test_deliveries_tell_each_attempt_and_a_dead_one_is_revived():
    make_rule(channels=[make_channel("hook", kind="webhook", config={"url": "http://x.example/"})])
    fire()
    now = database_now()
    (claimed,) = claim_due(now=now, limit=9, each=9, speed=Speed.UNKNOWN)
    finish(claimed, Failed(550, "Refused.", final=True), took_ms=12, now=now, luck=0)
    call = Caller()

    (said,) = call.get("/deliveries?status=dead")["items"]

    assert said["channel"]["name"] == "hook"
    assert said["message_id"].startswith("msg_")
    assert said["next_attempt_at"] is None
    assert said["log"][0]["detail"] == "Refused."
    assert (said["log"][0]["status"], said["log"][0]["took_ms"]) == (550, 12)
    assert call.get(f"/deliveries/{said['id']}") == said

    revived = call.post(f"/deliveries/{said['id']}/retry", status=200)
    assert (revived["status"], revived["message_id"]) == ("pending", said["message_id"])
    assert call.get("/deliveries?status=dead")["items"] == []
    Delivery.objects.update(status="sent", finished_at=now)
    assert call("POST", f"/deliveries/{said['id']}/retry")[0] == 409


def test_a_limited_key_sees_only_deliveries_of_its_incidents():
    make_rule(channels=[make_channel()])
    fire(environment="staging")
    delivery = Delivery.objects.get()
    call = Caller(environment="prod")

    assert call.get("/deliveries")["items"] == []
    assert call("GET", f"/deliveries/{delivery.pk}")[0] == 404
    assert call("POST", f"/deliveries/{delivery.pk}/retry")[0] == 404


def test_of_a_channel_outside_the_limits_a_limited_key_sees_only_the_kind_and_retries_nothing():
    make_rule(channels=[make_channel("the pager of another team")])
    fire(service="orders")
    delivery = Delivery.objects.get()
    Delivery.objects.update(status="dead", finished_at=database_now())
    call = Caller(environment="prod", services=["orders"])

    (said,) = call.get("/deliveries")["items"]

    assert said["channel"] == {"id": None, "name": None, "kind": "email"}
    assert "the pager" not in str(call.get(f"/incidents/{said['incident']}"))
    assert call("POST", f"/deliveries/{delivery.pk}/retry")[0] == 404


def test_pages_read_what_fires_gravest_first():
    make_rule("low", severity="info", group_by=["breaker"], channels=[make_channel()])
    make_rule("high", severity="critical", group_by=["breaker"])
    fire()
    actor = make_actor()

    found = open_incidents(actor)

    assert [one.severity for one in found] == ["critical", "info"]
    assert newest_deliveries(actor)[0].channel.kind == "email"
    assert open_incidents(make_actor(environments=["staging"])) == []
    assert found[0].started_at > database_now() - timedelta(minutes=1)


def test_who_is_not_well_in_two_incidents_is_told_with_the_gravest():
    make_rule("grave", severity="critical")
    make_rule("slight", kind="open_instances", params={"count": 1}, severity="info")
    fire()

    [told] = Caller().get("/incidents/unwell")["items"]

    assert told["rule"]["name"] == "grave"


def test_who_is_not_well_is_told_with_the_newest_incident_within_the_limits():
    make_rule("first", group_by=["breaker"])
    breaker = fire(service="orders")
    make_rule("second", kind="open_for", params={"for": 0}, group_by=["breaker"])
    fire(service="feed")
    call = Caller()

    told = call.get("/incidents/unwell")["items"]
    within = Caller(environment="prod", services=["orders"]).get("/incidents/unwell")["items"]
    happens(breaker, "closed")
    evaluate_pending()

    assert within == [one for one in told if one["breaker"] == str(breaker.pk)]
    assert [(one["breaker"], one["rule"]["name"]) for one in within] == [(str(breaker.pk), "first")]
    assert len(told) == 2
    assert within[0] not in call.get("/incidents/unwell")["items"]


def an_incident(call: Caller) -> dict:
    (said,) = call.get("/incidents")["items"]
    return said


def test_a_snooze_keeps_updates_back_and_tells_at_its_end_that_it_still_fires():
    make_rule(channels=[make_channel()])
    fire(name="a")
    call = Caller()
    said = an_incident(call)

    snoozed = call.post(
        f"/incidents/{said['id']}/snooze", {"for": 3600, "reason": "known"}, status=200
    )
    fire(name="b")

    incident = Incident.objects.get()
    assert snoozed["snoozed_until"] is not None
    assert incident.update_at == incident.snoozed_until
    until = incident.snoozed_until
    assert until is not None
    assert sweep(until - timedelta(seconds=1)) == 0
    assert sweep(until) == 1
    types = list(Delivery.objects.order_by("id").values_list("type", flat=True))
    assert types == ["incident.firing", "incident.updated"]
    (entry,) = [
        one for one in call.get(f"/incidents/{said['id']}")["timeline"] if one["kind"] == "snoozed"
    ]
    assert entry["text"].endswith("UTC: known")
    assert AuditEntry.objects.filter(action="snooze_incident", reason="known").exists()


def test_the_end_of_an_incident_is_told_in_spite_of_a_snooze():
    make_rule(channels=[make_channel()])
    breaker = fire()
    call = Caller()
    said = an_incident(call)
    call.post(f"/incidents/{said['id']}/snooze", {"for": 3600}, status=200)

    happens(breaker, "closed")
    evaluate_pending()

    assert Delivery.objects.filter(type="incident.resolved").exists()
    assert call.get(f"/incidents/{said['id']}")["snoozed_until"] is None
    assert call("POST", f"/incidents/{said['id']}/snooze", {"for": 60})[0] == 409


def test_a_snooze_is_ended_by_no_time_at_all_and_refused_where_it_is_none():
    make_rule()
    fire()
    call = Caller()
    path = f"/incidents/{an_incident(call)['id']}/snooze"
    call.post(path, {"for": 3600}, status=200)

    assert call.post(path, {"for": 0}, status=200)["snoozed_until"] is None
    assert sweep(database_now()) == 1
    for wrong in ({}, {"for": True}, {"for": -1}, {"for": "soon"}, {"for": 10**9}):
        assert call("POST", path, wrong)[0] == 422
    assert Caller(["read"])("POST", path, {"for": 60})[0] == 403
    assert Caller(environment="staging")("POST", path, {"for": 60})[0] == 404


def test_an_incident_is_exported_as_json_and_as_markdown_in_which_text_stays_text():
    make_rule("any | open", channels=[make_channel()])
    breaker = fire(service="orders", name="catalog")
    call = Caller()
    said = an_incident(call)
    call.post(f"/incidents/{said['id']}/notes", {"text": "<img src=x>\n# it *was* the disk"})
    happens(breaker, "closed")
    evaluate_pending()

    whole = call.get(f"/incidents/{said['id']}/export?format=json")
    answer = call.raw("GET", f"/incidents/{said['id']}/export?format=md")

    assert set(call.get(f"/incidents/{said['id']}")) | {"members", "exported_at"} == set(whole)
    assert [one["breaker"] for one in whole["members"]] == ["catalog"]
    assert answer["Content-Type"] == "text/markdown; charset=utf-8"
    assert answer["Content-Disposition"] == f'attachment; filename="incident-{said["id"]}.md"'
    text = answer.content.decode()
    assert f"# Incident {said['id']}: orders/catalog opened in prod" in text
    assert r"any \| open" in text
    assert r"  > \<img src=x\>" in text
    assert r"  > \# it \*was\* the disk" in text
    assert "incident.resolved" in text
    assert call("GET", f"/incidents/{said['id']}/export?format=pdf")[0] == 422
    assert Caller(environment="staging")("GET", f"/incidents/{said['id']}/export")[0] == 404
