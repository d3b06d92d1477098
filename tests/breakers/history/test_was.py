"""What a breaker was before a change whose event does not say it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.web import Web

T0 = datetime.now(UTC) - timedelta(hours=1)


def change(minute: int, to: str, instance: str = "a", **more: Any) -> dict[str, Any]:
    at = (T0 + timedelta(minutes=minute)).isoformat()
    named = {"service": "orders", "breaker": "catalog", "instance": instance}
    return named | {"to": to, "occurred_at": at} | more


async def told(web: Web, **query: Any) -> list[tuple[Any, ...]]:
    id = (await web.breaker("orders", "catalog"))["id"]
    items = (await web.get(f"breakers/{id}/events", **query))["items"]
    return [(one["instance"], one["from"], one["was"], one["to"]) for one in items]


async def test_history_says_what_an_event_does_not(web: Web) -> None:
    await web.post_events(
        change(0, "closed"),
        change(1, "open", "b"),
        change(2, "open"),
        change(3, "half_open", **{"from": "open"}),
        change(4, "closed", "b"),
    )

    assert await told(web) == [
        ("b", None, "open", "closed"),
        ("a", "open", "open", "half_open"),
        ("a", None, "closed", "open"),
        ("b", None, None, "open"),
        ("a", None, None, "closed"),
    ]


async def test_what_lies_before_the_page_counts(web: Web) -> None:
    await web.post_events(
        change(0, "closed"), change(1, "closed", "b"), change(2, "open"), change(3, "open", "b")
    )

    since = (T0 + timedelta(minutes=2)).isoformat()
    assert await told(web, since=since, type="state_change") == [
        ("b", None, "closed", "open"),
        ("a", None, "closed", "open"),
    ]
    assert await told(web, limit=1) == [("b", None, "closed", "open")]


async def test_what_is_no_state_change_left_nothing(web: Web) -> None:
    note = change(1, "open") | {"type": "note", "reason": "deployed"}
    del note["to"]
    await web.post_events(change(0, "closed"), note)

    id = (await web.breaker("orders", "catalog"))["id"]
    [one] = (await web.get(f"breakers/{id}/events", type="note"))["items"]
    assert "was" not in one


async def test_of_one_instant_the_seq_tells_on_a_page_of_any_size(web: Web) -> None:
    await web.post_events(
        change(0, "closed", boot="b", seq=1),
        change(5, "open", boot="b", seq=2, id="z"),
        change(5, "half_open", boot="b", seq=3, id="a"),
        change(6, "closed", boot="b", seq=4),
    )
    id = (await web.breaker("orders", "catalog"))["id"]

    for limit in (1, 2, 3, 50):
        said: list[dict[str, Any]] = []
        cursor: str | None = ""
        while cursor is not None:
            page = await web.get(f"breakers/{id}/events", limit=limit, cursor=cursor)
            said, cursor = said + page["items"], page["next"]

        assert {one["seq"]: one["was"] for one in said} == {
            1: None,
            2: "closed",
            3: "open",
            4: "half_open",
        }, limit
