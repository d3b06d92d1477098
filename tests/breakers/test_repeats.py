"""What is sent again, in whatever form, is stored once and changes nothing."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from breakers.models import Event, OutboxRow
from tests.support.web import Web


def event(to: str = "open", **fields: Any) -> dict[str, Any]:
    return {"service": "orders", "breaker": "catalog", "environment": "prod", "to": to} | fields


def at(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


async def test_a_repeat_with_id_and_time_changes_nothing(web: Web) -> None:
    first = event(id="e1", occurred_at=at(-5))
    await web.post_events(first)
    await web.post_events(event(to="closed"))

    answer = await web.post_events(first, first)

    assert answer.json() == {"accepted": 0, "duplicates": 2, "rejected": []}
    assert (await web.breaker("orders", "catalog"))["state"] == "closed"
    assert await Event.objects.acount() == 2


@pytest.mark.parametrize("order", ["snapshot first", "change first"])
@pytest.mark.parametrize("beside_a_repeat", [False, True])
async def test_of_a_snapshot_and_a_change_with_one_id_the_first_wins(
    web: Web, order: str, beside_a_repeat: bool
) -> None:
    before = event(to="closed", id="e1", occurred_at=at(-5))
    await web.post_events(before)
    same = {"id": "e2", "occurred_at": at(-4)}
    pair = [event(type="snapshot", **same), event(to="open", **same)]
    if order == "change first":
        pair.reverse()

    answer = await web.post_events(*([before] if beside_a_repeat else []), *pair)

    assert (answer.json()["accepted"], answer.json()["duplicates"]) == (1, 1 + beside_a_repeat)
    moved = order == "change first"
    assert (await web.breaker("orders", "catalog"))["state"] == ("open" if moved else "closed")
    assert await Event.objects.acount() == 1 + moved
    assert await OutboxRow.objects.acount() == 1 + moved


async def test_a_repeat_without_a_time_is_known_by_its_id(web: Web) -> None:
    await web.post_events(event(id="e1"))

    answer = await web.post_events(event(id="e1"), event(id="e2"), event(id="e2"))

    assert answer.json() == {"accepted": 1, "duplicates": 2, "rejected": []}


@pytest.mark.parametrize("type", ["state_change", "snapshot"])
async def test_a_repeat_that_leaves_out_the_time_is_known_by_its_id(web: Web, type: str) -> None:
    await web.post_events(event(id="e1", occurred_at=at(-86400), type=type))

    answer = await web.post_events(event(id="e1", to="closed", type=type))

    assert answer.json() == {"accepted": 0, "duplicates": 1, "rejected": []}


@pytest.mark.parametrize("seconds", [-60, 60])
async def test_of_two_with_an_id_of_which_one_says_when_one_is_stored(
    web: Web, seconds: int
) -> None:
    answer = await web.post_events(event(id="e1"), event(id="e1", occurred_at=at(seconds)))

    assert answer.json() == {"accepted": 1, "duplicates": 1, "rejected": []}


async def test_the_same_id_in_two_services_is_two_events(web: Web) -> None:
    answer = await web.post_events(event(id="e1"), event(id="e1", service="feed"))

    assert answer.json()["accepted"] == 2


async def test_repeats_sent_at_once_are_stored_once(web: Web) -> None:
    one = event(id="e1", occurred_at=at(-1))

    answers = await asyncio.gather(*(web.post_events(one, one) for _ in range(20)))

    assert sum(answer.json()["accepted"] for answer in answers) == 1
    assert sum(answer.json()["duplicates"] for answer in answers) == 39
    assert await Event.objects.acount() == 1
