from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from breakers.models import Event, Instance, OutboxRow
from breakers.wire import EventIn
from tests.support import make
from tests.support.web import Web


def event(to: str = "open", **fields: Any) -> dict[str, Any]:
    return {"service": "orders", "breaker": "catalog", "environment": "prod", "to": to} | fields


def at(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


async def make_key(**fields: Any) -> str:
    _, text = await sync_to_async(make.make_key)(**({"name": "k"} | fields))
    return text


async def test_an_event_is_stored_and_shown(web: Web) -> None:
    answer = await web.post_events(event(target="catalog", instance="o-1"))

    assert answer.status_code == 202
    assert answer.json() == {"accepted": 1, "duplicates": 0, "rejected": []}
    shown = await web.breaker("orders", "catalog")
    assert shown["state"] == "open"
    assert shown["states"] == {"open": 1}
    assert shown["target"] == "catalog"


async def test_a_single_event_needs_no_array(web: Web) -> None:
    answer = await web.http.post("/api/v1/events", json=event(), headers=web.bearer())

    assert answer.json()["accepted"] == 1


async def test_an_empty_array_is_accepted(web: Web) -> None:
    assert (await web.post_events()).status_code == 202


async def test_each_event_stands_or_falls_alone(web: Web) -> None:
    answer = await web.post_events(event(), event(to="ajar"), {"service": "orders"}, event())

    assert answer.status_code == 202
    body = answer.json()
    assert body["accepted"] == 2
    assert [one["index"] for one in body["rejected"]] == [1, 2]
    assert body["rejected"][0]["errors"][0]["loc"] == ["to"]
    assert body["rejected"][1]["errors"][0]["loc"] == ["breaker"]


async def test_null_is_as_good_as_left_out(web: Web) -> None:
    fields = {
        name: None for name in EventIn.__struct_fields__ if name not in ("service", "breaker")
    }

    answer = await web.post_events(event() | fields | {"from": None, "to": "open"})

    assert answer.json()["accepted"] == 1
    stored, instance = await Event.objects.aget(), await Instance.objects.aget()
    assert (stored.type, stored.cause, instance.name) == ("state_change", "unknown", "default")


async def test_a_late_event_enters_history_but_moves_no_state(web: Web) -> None:
    await web.post_events(event(to="closed", occurred_at=at(-1)))
    await web.post_events(event(to="open", occurred_at=at(-60)))

    assert (await web.breaker("orders", "catalog"))["state"] == "closed"
    assert await Event.objects.acount() == 2
    late = await OutboxRow.objects.order_by("-id").afirst()
    assert late is not None
    assert late.steps == "[]"


async def test_a_late_event_of_the_same_state_lengthens_the_run(web: Web) -> None:
    early, later = at(-60), at(-10)
    await web.post_events(event(occurred_at=later))

    await web.post_events(event(occurred_at=early))

    since = datetime.fromisoformat((await web.breaker("orders", "catalog"))["since"])
    assert since == datetime.fromisoformat(early)


async def test_an_outage_lasts_through_its_probes_until_the_last_instance_closes(web: Web) -> None:
    async def outage() -> str | None:
        return (await web.breaker("orders", "catalog"))["not_closed_since"]

    first = at(-60)
    await web.post_events(event(to="open", occurred_at=first))
    await web.post_events(event(to="half_open", occurred_at=at(-30)))
    await web.post_events(event(to="open", occurred_at=at(-29)))
    await web.post_events(event(to="open", instance="other", occurred_at=at(-20)))
    assert datetime.fromisoformat(await outage() or "") == datetime.fromisoformat(first)

    await web.post_events(event(to="closed", occurred_at=at(-10)))
    assert datetime.fromisoformat(await outage() or "") > datetime.fromisoformat(first)

    await web.post_events(event(to="closed", instance="other", occurred_at=at(-9)))
    assert await outage() is None


async def test_events_of_many_services_in_one_request_are_answered_together_and_in_order(
    web: Web,
) -> None:
    """What becomes of each event is told by its index."""
    many = [
        event(service=f"service-{place % 10}", id=f"e{place}", occurred_at=at(place - 60))
        for place in range(40)
    ]
    assert (await web.post_events(*many)).json() == {
        "accepted": 40,
        "duplicates": 0,
        "rejected": [],
    }

    bad = event(service="service-3", to="ajar")
    answer = await web.post_events(*many[:7], bad, event(service="service-8", id="new"), *many[7:])

    said = answer.json()
    assert (said["accepted"], said["duplicates"]) == (1, 40)
    assert [one["index"] for one in said["rejected"]] == [7]
    assert await Event.objects.acount() == 41


async def test_a_boot_found_to_be_older_gives_its_place_up(web: Web) -> None:
    """An early event of one boot may arrive last, and then another boot's word counts."""
    await web.post_events(event(to="open", boot="x", seq=1, occurred_at=at(-10)))
    await web.post_events(event(to="closed", boot="y", seq=1, occurred_at=at(-20)))
    assert (await web.breaker("orders", "catalog"))["state"] == "open"

    await web.post_events(event(to="half_open", boot="x", seq=0, occurred_at=at(-30)))

    assert (await web.breaker("orders", "catalog"))["state"] == "closed"


async def test_events_without_times_keep_their_order(web: Web) -> None:
    await web.post_events(event(to="open"), event(to="half_open"), event(to="closed"))

    assert (await web.breaker("orders", "catalog"))["state"] == "closed"


@pytest.mark.parametrize("together", [True, False])
async def test_of_changes_at_one_time_without_ids_the_last_to_come_stands(
    web: Web, together: bool
) -> None:
    changes = [event(to, occurred_at=at(-60)) for to in ("open", "closed", "half_open", "open")]
    changes = [one | {"occurred_at": changes[0]["occurred_at"]} for one in changes] * 3
    for some in [changes] if together else [[one] for one in changes]:
        await web.post_events(*some)

    assert (await web.breaker("orders", "catalog"))["state"] == "open"
    shown = await sync_to_async(list)(Event.objects.order_by("event_id").values_list("to_state"))
    assert [to for (to,) in shown] == [one["to"] for one in changes]


async def test_a_change_with_an_id_stands_above_one_of_its_time_without(web: Web) -> None:
    same, ids = at(-60), ["0", "0000000042", "-1", "#7", "8-and-more", "Z", str(uuid.UUID(int=0))]
    for id in ids:
        await web.post_events(
            event("open", breaker=f"b{id}", id=id, occurred_at=same),
            event("closed", breaker=f"b{id}", occurred_at=same),
        )

    assert {(await web.breaker("orders", f"b{id}"))["state"] for id in ids} == {"open"}


async def test_a_snapshot_shows_rates_and_changes_no_state(web: Web) -> None:
    await web.post_events(event(to="closed"))
    sample = {"calls": 200, "failed": 50, "window": 10}

    await web.post_events(
        {
            "service": "orders",
            "breaker": "catalog",
            "environment": "prod",
            "type": "snapshot",
            "metrics": sample,
        }
    )

    shown = await web.breaker("orders", "catalog")
    assert shown["state"] == "closed"
    assert shown["failure_rate"] == 25.0
    assert shown["calls_per_second"] == 20.0


async def test_who_told_no_state_yet_is_not_lost(web: Web) -> None:
    sample = {"type": "snapshot", "metrics": {"calls": 5, "window": 10}}
    told = {name: value for name, value in event().items() if name != "to"} | sample

    await web.post_events(told, told | {"instance": "two"})

    shown = await web.breaker("orders", "catalog")
    assert (shown["states"], shown["untold"]) == ({"unknown": 2}, 2)


async def test_the_gravest_live_state_is_the_summary(web: Web) -> None:
    states = ["closed", "half_open", "forced_closed", "open", "forced_open"]

    await web.post_events(*(event(to=state, instance=f"i-{state}") for state in states))

    shown = await web.breaker("orders", "catalog")
    assert shown["state"] == "open"
    assert shown["instances"] == 5
    assert sum(shown["states"].values()) == 5


async def test_a_key_without_the_scope_is_forbidden(web: Web) -> None:
    key = await make_key(scopes=["read"])

    assert (await web.post_events(event(), key=key)).status_code == 403


async def test_a_missing_and_a_wrong_key_are_unauthenticated(web: Web) -> None:
    assert (await web.post_events(event(), key="wrong")).status_code == 401
    answer = await web.http.post("/api/v1/events", json=event())
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_limited_key_reaches_its_limits_and_no_further(web: Web) -> None:
    key = await make_key(scopes=["ingest"], environment="prod", services=["orders"])

    mixed = await web.post_events(event(), event(service="feed"), event(environment="dev"), key=key)
    outside = await web.post_events(event(service="feed"), key=key)

    assert mixed.json()["accepted"] == 1
    assert [one["errors"][0]["loc"] for one in mixed.json()["rejected"]] == [
        ["service"],
        ["environment"],
    ]
    assert outside.status_code == 403


async def test_the_environment_of_a_limited_key_is_the_default(web: Web) -> None:
    key = await make_key(scopes=["ingest"], environment="staging")

    await web.post_events({"service": "a", "breaker": "b", "to": "open"}, key=key)

    assert (await web.breaker("a", "b"))["environment"] == "staging"


BAD_EVENTS = {
    "a control character in the breaker": (event(breaker="a\u0007"), ["breaker"]),
    "NUL in the service": (event(service="a\u0000b"), ["service"]),
    "NUL in the detail": (event(detail="a\u0000b"), ["detail"]),
    "an empty service": (event(service=""), ["service"]),
    "a name too long": (event(breaker="x" * 201), ["breaker"]),
    "a number for a name": (event(service=7), ["service"]),
    "an unknown state": (event(to="ajar"), ["to"]),
    "unknown, which only the server says": (event(to="unknown"), ["to"]),
    "no state": ({"service": "a", "breaker": "b"}, ["to"]),
    "a time without a zone": (event(occurred_at="2026-01-01T00:00:00"), ["occurred_at"]),
    "a time that is none": (event(occurred_at="yesterday"), ["occurred_at"]),
    "a time too old": (event(occurred_at="8 days ago"), ["occurred_at"]),
    "a time too far ahead": (event(occurred_at="10 minutes ahead"), ["occurred_at"]),
    "a negative seq": (event(seq=-1), ["seq"]),
    "a seq beyond 2^53": (event(seq=2**53), ["seq"]),
    "a fractional seq": (event(seq=1.5), ["seq"]),
    "an unknown cause": (event(cause="bad luck"), ["cause"]),
    "a rate above 100": (event(metrics={"failure_rate": 101}), ["metrics", "failure_rate"]),
    "a negative count": (event(metrics={"calls": -1}), ["metrics", "calls"]),
    "a label that is no text": (event(labels={"a": 1}), ["labels"]),
    "too many labels": (event(labels={str(n): "x" for n in range(17)}), ["labels"]),
    "a list for labels": (event(labels=["a"]), ["labels"]),
    "a reason too long": (event(reason="x" * 65), ["reason"]),
    "an unknown type": (event(type="rumour"), ["type"]),
    "no object": ("open", []),
    "null": (None, []),
}


@pytest.mark.parametrize("name", BAD_EVENTS)
async def test_an_odd_value_is_refused_with_its_place(web: Web, name: str) -> None:
    bad, loc = BAD_EVENTS[name]
    times = {"8 days ago": at(-8 * 86400), "10 minutes ahead": at(600)}
    if isinstance(bad, dict) and bad.get("occurred_at") in times:
        bad = bad | {
            "occurred_at": times[bad["occurred_at"]]
        }  # as of now, not of the start of the run

    answer = await web.http.post("/api/v1/events", json=[bad], headers=web.bearer())

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["accepted"] == 0
    found = body["rejected"][0]["errors"][0]["loc"]
    assert found[: len(loc)] == loc
    assert await Event.objects.acount() == 0


BAD_BODIES = {
    "no JSON": b"open!",
    "a truncated body": b'[{"service":"a"',
    "nothing": b"",
    "NaN": b'{"service":"a","breaker":"b","to":"open","seq":NaN}',
    "not UTF-8": b'{"service":"\xff","breaker":"b","to":"open"}',
    "nesting without end": b"[" * 100_000,
}


@pytest.mark.parametrize("name", BAD_BODIES)
async def test_a_body_that_is_no_json_is_a_bad_request(web: Web, name: str) -> None:
    headers = web.bearer() | {"content-type": "application/json"}

    answer = await web.http.post("/api/v1/events", content=BAD_BODIES[name], headers=headers)

    assert answer.status_code == 400
    assert answer.json()["status"] == 400


async def test_too_many_events_and_too_many_bytes_are_too_large(web: Web) -> None:
    many = await web.http.post("/api/v1/events", json=[event()] * 1001, headers=web.bearer())
    long = await web.http.post(
        "/api/v1/events",
        content=b" " * (1024 * 1024 + 1),
        headers=web.bearer() | {"content-type": "application/json"},
    )

    assert many.status_code == 413
    assert long.status_code == 413


async def test_other_types_and_methods_are_refused(web: Web) -> None:
    text = await web.http.post(
        "/api/v1/events", content=b"x", headers=web.bearer() | {"content-type": "text/plain"}
    )
    got = await web.http.get("/api/v1/events", headers=web.bearer())

    assert text.status_code == 415
    assert got.status_code == 405
    assert got.headers["allow"] == "POST"


async def test_unknown_fields_are_ignored(web: Web) -> None:
    assert (await web.post_events(event(colour="red"))).json()["accepted"] == 1


async def test_a_long_detail_is_cut(web: Web) -> None:
    await web.post_events(event(detail="x" * 5000))

    stored = await Event.objects.aget()
    assert stored.detail is not None
    assert len(stored.detail) == 2000


async def test_the_smallest_numbers_do_not_fail_the_board(web: Web) -> None:
    tiny = {"failure_rate": 5e-324, "calls": 1000, "window": 0.001}
    await web.post_events(
        event(metrics=tiny), event(instance="two", metrics={"failure_rate": 0, "calls": 1})
    )
    refused = await web.post_events(event(metrics={"window": 1e-320, "calls": 400}))

    assert refused.status_code == 422
    assert (await web.breaker("orders", "catalog"))["failure_rate"] == 0


async def test_a_time_at_the_end_of_the_calendar_is_refused_and_its_successor_is_not(
    web: Web,
) -> None:
    answer = await web.post_events(event(occurred_at="9999-12-31T23:59:59.999999Z"), event())

    assert answer.status_code == 202
    assert answer.json()["accepted"] == 1


@pytest.mark.parametrize("at", ["9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59"])
async def test_a_span_beyond_the_calendar_is_invalid_input(web: Web, at: str) -> None:
    await web.post_events(event())
    one = await web.breaker("orders", "catalog")

    for name in ("since", "until"):
        answer = await web.http.get(
            f"/api/v1/breakers/{one['id']}/events", params={name: at}, headers=web.bearer()
        )
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["loc"] == [name]
    wish = {"mode": "forced_open", "reason": "x", "expires_at": at}
    forced = await web.call("PUT", f"breakers/{one['id']}/override", wish)
    assert forced.status_code == 422
    assert forced.json()["errors"][0]["loc"] == ["expires_at"]


async def test_more_failures_than_calls_are_no_more_than_all_of_them(web: Web) -> None:
    await web.post_events(event(metrics={"calls": 5, "failed": 9, "window": 10}))

    assert (await web.breaker("orders", "catalog"))["failure_rate"] == 100
