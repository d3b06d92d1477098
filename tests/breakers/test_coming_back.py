"""Instances that were retired and speak again: whatever they left behind counts again, and everybody is told."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from breakers.models import OutboxRow
from breakers.outbox import OutboxStep, steps_of
from breakers.states import State
from tests.support.web import Watcher, Web

OPEN: tuple[dict[str, Any], ...] = (
    {"breaker": "catalog", "state": "open"},
    {"breaker": "users", "state": "open"},
)


async def left_open(web: Web) -> None:
    """Two breakers of an instance that has said goodbye; what they were is judged by now."""
    async with web.agent(*OPEN) as agent:
        await agent.say(type="goodbye")
        await agent.socket.wait_closed()
    assert (await web.breaker("orders", "users"))["instances"] == 0
    await OutboxRow.objects.all().adelete()


async def steps() -> list[OutboxStep]:
    texts = OutboxRow.objects.order_by("id").values_list("steps", flat=True)
    return [step async for text in texts for step in steps_of(text)]


def are_open_again(board: dict[str, dict[str, Any]]) -> bool:
    return [(one["state"], one["instances"]) for one in board.values()] == [("open", 1)] * 2


@pytest.mark.parametrize("said", [{"to": "open"}, {"type": "note", "reason": "back"}])
async def test_one_word_about_one_breaker_brings_all_back(web: Web, said: dict[str, str]) -> None:
    await left_open(web)
    async with web.socket("/live/v1") as socket:
        watcher = Watcher(socket)
        await watcher.subscribe(service="orders")
        await watcher.take()

        word = {"service": "orders", "instance": "one", "environment": "prod", "breaker": "catalog"}
        assert (await web.post_events(word | said)).json()["accepted"] == 1

        await watcher.until(are_open_again)
    told = [(step.before, step.state) for step in await steps()]
    assert told == [(State.UNKNOWN, State.OPEN)] * 2


async def test_what_was_left_open_is_nobodys_word_where_another_state_comes_back(
    web: Web,
) -> None:
    await left_open(web)

    word = {"service": "orders", "instance": "one", "environment": "prod", "breaker": "catalog"}
    await web.post_events(word | {"to": "closed", "boot": "b1", "seq": 5})

    told = {(step.before, step.state) for step in await steps()}
    assert told == {(State.UNKNOWN, State.CLOSED), (State.UNKNOWN, State.OPEN)}


async def test_a_new_life_that_is_as_open_as_the_former_is_judged(web: Web) -> None:
    await left_open(web)

    async with web.agent(*OPEN, boot="b2"):
        told = [(step.before, step.state) for step in await steps()]

    assert told == [(State.UNKNOWN, State.OPEN)] * 2


@pytest.mark.parametrize("said", [{"labels": {"zone": "a"}}, {"library": "pybreaker"}])
async def test_a_first_word_that_says_no_state_is_told_too(web: Web, said: dict[str, Any]) -> None:
    word = {"service": "orders", "breaker": "catalog", "instance": "one", "environment": "prod"}
    await web.post_events(word | {"to": "closed", "boot": "b1", "seq": 5})
    async with web.socket("/live/v1") as socket:
        watcher = Watcher(socket)
        await watcher.subscribe()
        await watcher.take()

        await web.post_events(word | {"instance": "two", "type": "note", "reason": "up"} | said)

        await watcher.until(lambda board: [one["instances"] for one in board.values()] == [2])


@pytest.mark.parametrize("kind", ["note", "snapshot"])
async def test_what_is_sent_again_after_goodbye_is_a_repeat(web: Web, kind: str) -> None:
    word = {"service": "orders", "instance": "one", "environment": "prod", "breaker": "catalog"}
    word |= {"type": kind, "id": "x1", "occurred_at": timezone.now().isoformat(), "reason": "end"}
    async with web.agent(*OPEN) as agent:
        await web.post_events(word)
        await agent.say(type="goodbye")
        await agent.socket.wait_closed()

    answer = await web.post_events(word)

    assert answer.json() == {"accepted": 0, "duplicates": 1, "rejected": []}
