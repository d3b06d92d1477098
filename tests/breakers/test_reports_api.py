"""`GET breakers/ID/report` and `GET reports`, as a caller sees them."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection

from breakers.models import Instance
from tests.support.make import make_key
from tests.support.web import Web

NOW = datetime.now(UTC).replace(microsecond=0)
T0 = NOW - timedelta(hours=2)


def event(seconds: int, to: str, **fields: Any) -> dict[str, Any]:
    return {
        "service": "orders",
        "breaker": "catalog",
        "environment": "prod",
        "to": to,
        "occurred_at": (T0 + timedelta(seconds=seconds)).isoformat(),
    } | fields


HOUR = {"since": T0.isoformat(), "until": (T0 + timedelta(hours=1)).isoformat()}


@pytest.mark.parametrize("left", ["z", "a"])
async def test_of_first_words_at_the_same_time_any_says_what_was_left(web: Web, left: str) -> None:
    pair = [event(60, "open", id="m", boot="b", seq=1), event(60, "open", id=left, boot="b", seq=1)]
    pair[1]["from"] = "closed"
    await web.post_events(*(one | {"service": f"s{n}"} for n in range(30) for one in pair))
    id = (await web.breaker("s7", "catalog"))["id"]

    alone = await web.get(f"breakers/{id}/report", **HOUR)
    among = await web.get("reports", **HOUR, limit=100)

    assert {one["trips"] for one in (alone, *among["items"])} == {1}


async def test_a_breaker_in_a_span(web: Web) -> None:
    await web.post_events(
        event(-60, "closed", target="catalog"),
        event(600, "open"),
        event(660, "half_open"),
        event(661, "open"),
        event(720, "closed"),
        event(0, "closed", instance="two"),
        event(630, "open", instance="two"),
    )
    id = (await web.breaker("orders", "catalog"))["id"]

    told = await web.get(f"breakers/{id}/report", **HOUR)

    assert told == {
        "environment": "prod",
        "service": "orders",
        "breaker": id,
        "name": "catalog",
        "target": "catalog",
        "since": T0.isoformat().replace("+00:00", "Z"),
        "until": (T0 + timedelta(hours=1)).isoformat().replace("+00:00", "Z"),
        "instances": 2,
        "availability": round(100 * (3480 + 630) / 7200, 4),
        "trips": 2,
        "flaps": 0,
        "recoveries": 1,
        "mean_time_to_recover": 120,
        "longest_outage": 2970,
        "any_open": 3000,
        "states": {
            "closed": 4110,
            "open": 119 + 2970,
            "half_open": 1,
            "forced_open": 0,
            "forced_closed": 0,
            "unknown": 0,
        },
    }


async def test_a_goodbye_ends_the_time_and_a_restart_goes_on_in_its_own_boot(web: Web) -> None:
    async with web.agent({"breaker": "catalog", "state": "closed"}) as agent:
        await agent.events({"breaker": "catalog", "to": "open"})
        await agent.say(type="goodbye")
        await agent.socket.wait_closed()
    async with web.agent({"breaker": "catalog", "state": "closed"}, boot="b2"):
        id = (await web.breaker("orders", "catalog"))["id"]
        told = await web.get(f"breakers/{id}/report")

    assert (told["trips"], told["recoveries"], told["instances"]) == (1, 1, 1)


async def test_a_report_of_the_past_stays_as_it_was_when_somebody_comes_back(web: Web) -> None:
    await web.post_events(event(0, "closed"), event(600, "open"))
    await Instance.objects.aupdate(retired_at=T0 + timedelta(seconds=1800))
    before = await web.get("reports", **HOUR)
    assert before["items"][0]["longest_outage"] == 1200

    async with web.agent({"breaker": "catalog", "state": "closed"}, instance="default"):
        assert await web.get("reports", **HOUR) == before


async def test_many_breakers_by_id_and_services_as_a_whole(web: Web) -> None:
    await web.post_events(
        event(0, "closed"),
        event(10, "open"),
        event(0, "closed", breaker="users"),
        event(20, "open", breaker="users"),
        event(0, "closed", service="feed"),
        event(-1, "closed", service="feed", environment="dev"),
        event(0, "open", service="feed", environment="dev"),
    )

    first = await web.get("reports", limit=2, **HOUR)
    second = await web.get("reports", limit=2, cursor=first["next"], **HOUR)
    services = await web.get("reports", by="service", environment="prod", **HOUR)
    one = await web.get("reports", service="feed", environment="dev", **HOUR)

    names = [(r["environment"], r["service"], r["name"]) for r in first["items"] + second["items"]]
    assert sorted(names) == [
        ("dev", "feed", "catalog"),
        ("prod", "feed", "catalog"),
        ("prod", "orders", "catalog"),
        ("prod", "orders", "users"),
    ]
    assert second["next"] is None
    assert {(r["service"], r["trips"], r["any_open"], r["breaker"]) for r in services["items"]} == {
        ("orders", 2, 3590, None),
        ("feed", 0, 0, None),
    }
    assert [r["trips"] for r in one["items"]] == [1]


async def test_as_csv_no_name_is_taken_for_a_formula(web: Web) -> None:
    await web.post_events(event(0, "closed", breaker="=1+1"), event(0, "closed"))

    answer = await web.http.get(
        "/api/v1/reports", params={**HOUR, "format": "csv", "limit": 1}, headers=web.bearer()
    )

    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["panelboard-next"]
    rest = await web.http.get(
        "/api/v1/reports",
        params={**HOUR, "format": "csv", "cursor": answer.headers["panelboard-next"]},
        headers=web.bearer(),
    )
    rows = [*csv.DictReader(io.StringIO(answer.text)), *csv.DictReader(io.StringIO(rest.text))]
    assert {row["name"] for row in rows} == {"'=1+1", "catalog"}
    assert {row["closed_seconds"] for row in rows} == {"3600.0"}


async def test_limits_and_wrong_questions(web: Web) -> None:
    await web.post_events(event(0, "closed"), event(0, "closed", service="feed"))
    id = (await web.breaker("orders", "catalog"))["id"]
    _, narrow = await sync_to_async(make_key)(
        name="feed", scopes=["read"], environment="prod", services=["feed"]
    )

    async def status(path: str, key: str | None = None, **query: Any) -> int:
        answer = await web.http.get(f"/api/v1/{path}", params=query, headers=web.bearer(key))
        return answer.status_code

    seen = await web.http.get("/api/v1/reports", headers=web.bearer(narrow))
    assert [row["service"] for row in seen.json()["items"]] == ["feed"]
    assert await status(f"breakers/{id}/report", narrow) == 404
    assert await status("reports", since=NOW.isoformat(), until=T0.isoformat()) == 422
    assert await status("reports", until="0001-01-01T00:00:00Z") == 422
    assert await status("reports", since="0001-01-01T00:00:00+14:00") == 422
    assert await status("reports", environment="\0") in (200, 422)


async def test_a_first_word_trips_where_it_says_that_it_left_closed(web: Web) -> None:
    await web.post_events(
        event(600, "open", breaker="silent"),
        event(600, "open", breaker="told", **{"from": "closed"}),
    )

    trips = {}
    for name in ("silent", "told"):
        id = (await web.breaker("orders", name))["id"]
        trips[name] = (await web.get(f"breakers/{id}/report", **HOUR))["trips"]

    assert trips == {"silent": 0, "told": 1}


async def test_a_report_begins_where_history_does_and_says_so(web: Web) -> None:
    await web.post_events(event(0, "closed"), event(600, "open"), event(900, "closed"))
    id = (await web.breaker("orders", "catalog"))["id"]
    edge = T0 + timedelta(seconds=700)
    await sync_to_async(begin_history)(edge)

    told = await web.get(f"breakers/{id}/report", **HOUR)
    before = HOUR | {"until": edge.isoformat()}
    refused = await web.http.get("/api/v1/reports", params=before, headers=web.bearer())

    assert datetime.fromisoformat(told["since"]) == edge
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["loc"] == ["until"]


def begin_history(at: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE history_edge SET at = %s", [at])
