from __future__ import annotations

from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from django.utils import timezone

from breakers.history.rebuild import rebuild
from breakers.models import Instance, Override
from tests.support.eventually import aeventually
from tests.support.web import Web

HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
CLOSED = {"breaker": "catalog", "state": "closed"}
IN_HISTORY = (
    "id",
    "environment",
    "service",
    "breaker",
    "target",
    "state",
    "states",
    "instances",
    "since",
    "not_closed_since",
)


async def board(web: Web, **query: Any) -> list[dict[str, Any]]:
    return list((await web.get("breakers", **query))["items"])


def known(summaries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: summary[name] for name in IN_HISTORY} for summary in summaries]


def random_event(random: Random, at: datetime) -> dict[str, Any]:
    event: dict[str, Any] = {
        "environment": random.choice(["prod", "staging"]),
        "service": random.choice(["orders", "feed"]),
        "breaker": random.choice(["catalog", "db"]),
        "instance": random.choice(["a", "b"]),
        "to": random.choice(["closed", "open", "half_open", "forced_open"]),
        "target": "catalog",
        "occurred_at": at.isoformat(),
    }
    if random.random() < 0.7:
        event |= {"boot": random.choice(["one", "two"]), "seq": random.randint(0, 20)}
    return event


@pytest.mark.parametrize("seed", range(2))
async def test_the_board_at_an_instant_is_what_the_live_board_said_then(
    web: Web, seed: int
) -> None:
    random = Random(seed)
    begun = timezone.now() - HOUR
    said: list[tuple[datetime, list[dict[str, Any]]]] = []
    for number in range(40):
        at = begun + number * SECOND
        await web.post_events(random_event(random, at))
        said.append((at, known(await board(web))))

    for at, then in said:
        for instant in (at, at + SECOND / 2):
            assert known(await board(web, at=instant.isoformat())) == then
    assert await board(web, at=(begun - SECOND).isoformat()) == []


async def test_what_became_known_later_counts(web: Web) -> None:
    at = timezone.now() - HOUR
    event = {"service": "orders", "breaker": "catalog", "environment": "prod"}
    await web.post_events(event | {"to": "closed", "occurred_at": at.isoformat()})
    await web.post_events(event | {"to": "closed", "occurred_at": (at + 9 * SECOND).isoformat()})
    await web.post_events(event | {"to": "open", "occurred_at": (at + 3 * SECOND).isoformat()})

    [then] = await board(web, at=(at + 5 * SECOND).isoformat())

    assert then["state"] == "open"
    assert datetime.fromisoformat(then["since"]) == at + 3 * SECOND
    assert then["failure_rate"] is then["calls_per_second"] is None
    assert then["revision"] is then["updated_at"] is None


async def test_filters_limits_and_cursors_hold_for_the_past_too(web: Web) -> None:
    at = timezone.now() - HOUR
    for number in range(5):
        await web.post_events(
            {
                "service": "orders",
                "breaker": f"b{number}",
                "environment": "prod" if number % 2 else "staging",
                "to": "open" if number < 3 else "closed",
                "occurred_at": at.isoformat(),
            }
        )
    query = {"at": at.isoformat()}

    first = await web.get("breakers", limit=2, **query)
    second = await web.get("breakers", limit=2, cursor=first["next"], **query)

    assert [one["breaker"] for one in first["items"] + second["items"]] == ["b0", "b1", "b2", "b3"]
    assert [one["breaker"] for one in await board(web, state="open", **query)] == ["b0", "b1", "b2"]
    assert [one["breaker"] for one in await board(web, environment="prod", **query)] == ["b1", "b3"]
    assert [one["breaker"] for one in await board(web, q="B4", **query)] == ["b4"]
    other = {"at": (at + SECOND).isoformat(), "cursor": first["next"]}
    answer = await web.http.get("/api/v1/breakers", params=other, headers=web.bearer())
    assert answer.status_code == 422


async def test_the_override_that_stood_then_and_who_was_there(web: Web) -> None:
    now = timezone.now()
    event = {"service": "orders", "breaker": "catalog", "environment": "prod", "to": "closed"}
    old = {"occurred_at": (now - 3 * HOUR).isoformat()}
    await web.post_events(event | old | {"instance": "a"}, event | old | {"instance": "b"})
    id = (await web.breaker("orders", "catalog"))["id"]
    wish = {"mode": "forced_open", "reason": "looks bad", "no_expiry": True}
    await web.call("PUT", f"breakers/{id}/override", wish)
    await web.call("DELETE", f"breakers/{id}/override", {"reason": "well again"})
    await Override.objects.aupdate(created_at=now - 2 * HOUR, ended_at=now - HOUR)
    await Instance.objects.filter(name="b").aupdate(retired_at=now - HOUR)

    [before] = await board(web, at=(now - 2.5 * HOUR).isoformat())
    [while_it_stood] = await board(web, at=(now - 1.5 * HOUR).isoformat())
    [after] = await board(web, at=(now - 0.5 * HOUR).isoformat())

    assert (before["override"], before["instances"]) == (None, 2)
    assert while_it_stood["override"] == {
        "mode": "forced_open",
        "reason": "looks bad",
        "by": "tests",
        "by_kind": "key",
        "expires_at": None,
        "instances": None,
        "applied": None,
        "pending": None,
        "refused": None,
        "unreachable": None,
        "not_known": None,
        "since": (now - 2 * HOUR).isoformat().replace("+00:00", "Z"),
    }
    assert (after["override"], after["instances"]) == (None, 1)


async def nobody_is_there(web: Web) -> bool:
    return [one["instances"] for one in await board(web)] == [0]


async def test_an_instance_that_went_and_came_back_was_away_between(web: Web) -> None:
    async with web.agent(CLOSED) as agent:
        while_there = timezone.now()
        await agent.say(type="goodbye")
        await aeventually(lambda: nobody_is_there(web))
    while_away = timezone.now()
    async with web.agent(CLOSED):
        instants = [while_there, while_away, timezone.now()]
        then = [await board(web, at=at.isoformat()) for at in instants]

    assert [one["instances"] for [one] in then] == [1, 0, 1]


async def test_an_instance_known_by_its_snapshots_alone_was_there_and_unknown(web: Web) -> None:
    event = {"service": "orders", "breaker": "catalog", "environment": "prod", "type": "snapshot"}
    before = timezone.now()
    await web.post_events(event | {"metrics": {"calls": 1, "window": 10}})

    live = known(await board(web))

    assert live[0]["states"] == {"unknown": 1}
    assert known(await board(web, at=timezone.now().isoformat())) == live
    assert await board(web, at=before.isoformat()) == []


async def test_nobody_knows_what_is_ahead_or_was_before_the_edge_of_history(web: Web) -> None:
    now = timezone.now()
    await web.post_events(
        {
            "service": "orders",
            "breaker": "catalog",
            "environment": "prod",
            "to": "open",
            "occurred_at": (now - 2 * HOUR).isoformat(),
        }
    )
    edge = now - HOUR
    await sync_to_async(drop_all_before)(edge)

    async def ask(at: str) -> Any:
        return await web.http.get("/api/v1/breakers", params={"at": at}, headers=web.bearer())

    for at in ((edge - SECOND).isoformat(), (now + HOUR).isoformat(), "2026-01-01", "yesterday"):
        assert (await ask(at)).status_code == 422
    assert edge.strftime("%Y-%m-%dT%H:%M:%S") in (await ask((edge - SECOND).isoformat())).text
    [then] = (await ask(edge.isoformat())).json()["items"]
    assert then["state"] == "open"
    assert datetime.fromisoformat(then["since"]) == now - 2 * HOUR


def drop_all_before(edge: datetime) -> None:
    """As retention leaves it behind, which would drop whole weeks."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH gone AS (DELETE FROM event WHERE occurred_at < %(edge)s)
            INSERT INTO checkpoint
            SELECT breaker_id, instance_id, state, natural_state, since, not_closed_since, cause, reason, detail,
                   boot, seq, at, origin, event_id FROM breaker_instance
            """,
            {"edge": edge},
        )
        cursor.execute("UPDATE history_edge SET at = %s", [edge])
    assert list(rebuild(write=False)) == []
