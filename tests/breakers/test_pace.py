from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from hypothesis import given
from hypothesis import strategies as st

from breakers.access import Actor
from breakers.ingest import app, queue
from breakers.ingest.pace import EVENTS_PER_SECOND, Pace
from breakers.models import Event, Scope
from tests.support.make import make_key
from tests.support.web import Agent, Web

KEY = Actor(kind="key", id=1, name="k", can=frozenset({Scope.INGEST}), events_per_second=10)


def test_a_full_bucket_lets_in_a_second_of_events_at_once() -> None:
    pace = Pace()

    assert pace.take(KEY, 10, now=0) == 0
    assert pace.take(KEY, 5, now=0) == pytest.approx(0.5)
    assert pace.take(KEY, 5, now=0.5) == 0


def test_a_batch_larger_than_the_bucket_is_paid_off_afterwards() -> None:
    pace = Pace()

    assert pace.take(KEY, 30, now=0) == 0
    assert pace.take(KEY, 1, now=0) == pytest.approx(2.1)
    assert pace.take(KEY, 1, now=2.2) == 0


def test_what_is_taken_on_credit_is_waited_for() -> None:
    pace = Pace()

    assert pace.owe(KEY, 10, now=0) == 0
    assert pace.owe(KEY, 5, now=0) == pytest.approx(0.5)


def test_keys_do_not_slow_each_other_and_have_a_default() -> None:
    pace = Pace()
    pace.owe(KEY, 1000, now=0)

    other = replace(KEY, id=2, events_per_second=None)

    assert pace.take(other, EVENTS_PER_SECOND, now=0) == 0
    assert pace.take(other, 1, now=0) > 0


@given(st.lists(st.tuples(st.integers(1, 40), st.floats(0, 3)), max_size=40))
def test_over_any_time_no_more_comes_in_than_the_rate_a_burst_and_one_batch(
    sends: list[tuple[int, float]],
) -> None:
    pace, now, let_in = Pace(), 0.0, 0
    for events, pause in sends:
        now += pause
        if pace.take(KEY, events, now=now) == 0:
            let_in += events
    assert let_in <= 10 * now + 10 + 40


async def limited(**fields: Any) -> str:
    _, text = await sync_to_async(make_key)(name="slow", scopes=["ingest", "agent"], **fields)
    return text


def events(number: int) -> list[dict[str, Any]]:
    return [{"service": "orders", "breaker": "catalog", "to": "open"}] * number


async def test_a_key_that_sends_too_fast_is_told_when_to_try_again(web: Web) -> None:
    key = await limited(events_per_second=2)
    assert (await web.post_events(*events(100), key=key)).status_code == 202

    refused = await web.post_events(*events(1), key=key)

    assert refused.status_code == 429
    assert refused.headers["content-type"] == "application/problem+json"
    assert 40 <= int(refused.headers["retry-after"]) <= 50
    assert await Event.objects.acount() == 100
    assert (await web.post_events(*events(1))).status_code == 202  # another key


async def test_otlp_counts_only_what_is_about_breakers(web: Web) -> None:
    key = await limited(events_per_second=1)
    await web.post_events(*events(100), key=key)
    said = web.bearer(key) | {"content-type": "application/json"}
    record = {"eventName": "io.panelboard.breaker.event.v1", "timeUnixNano": "1"}

    async def export(*records: dict[str, Any]) -> int:
        body = {"resourceLogs": [{"scopeLogs": [{"logRecords": list(records)}]}]}
        answer = await web.http.post("/v1/logs", json=body, headers=said)
        return int(answer.status_code)

    assert await export({"eventName": "other"}) == 200
    assert await export(record) == 429


async def test_an_agent_that_sends_too_fast_is_read_more_slowly_and_loses_nothing(web: Web) -> None:
    key = await limited(events_per_second=40)
    async with web.socket("/agent/v1", **web.bearer(key)) as socket:
        agent = Agent(socket)
        await agent.hello({"breaker": "catalog", "state": "closed"})
        told = [{"breaker": "catalog", "to": "open"}] * 40
        for batch in range(3):
            await agent.say(type="events", batch=batch, events=told)

        async with asyncio.timeout(10):
            acks = [await agent.hear("ack") for _ in range(3)]

        assert [ack["accepted"] for ack in acks] == [40, 40, 40]
        # 120 events are two seconds beyond the burst: the reading waits, and whoever else uses the key too.
        assert (await web.post_events(*events(1), key=key)).status_code == 429


APPLIED = {"type": "applied", "breaker": "catalog", "revision": 0, "ok": True, "state": "closed"}


async def test_what_an_agent_says_is_applied_counts_like_events(web: Web) -> None:
    # A pace at which the next event is let in no sooner than half a second later.
    key = await limited(events_per_second=2)
    async with web.socket("/agent/v1", **web.bearer(key)) as socket:
        agent = Agent(socket)
        await agent.hello({"breaker": "catalog", "state": "closed"})
        for _ in range(4):
            await agent.say(**APPLIED)

        await agent.events({"breaker": "catalog", "to": "open"})

        assert (await web.post_events(*events(1), key=key)).status_code == 429


async def test_one_agent_does_not_fill_the_queue_by_what_is_applied(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "WAITING_MAX", 20)
    async with web.agent({"breaker": "catalog", "state": "closed"}) as agent:
        for _ in range(500):
            await agent.say(**APPLIED)
        await agent.say(type="ping")

        await agent.hear("pong")


async def test_a_full_queue_turns_away_and_loses_nothing(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "WAITING_MAX", 10)

    assert (await web.post_events(*events(10))).status_code == 202
    refused = await web.post_events(*events(11))

    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) > 0
    assert await Event.objects.acount() == 10


async def test_no_more_events_wait_to_be_looked_at_than_to_be_stored(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "WAITING_MAX", 2500)
    monkeypatch.setattr(app, "_SOME", 1)  # a turn of the loop for each, in which all others come

    answers = await asyncio.gather(*(web.post_events(*[{}] * 1000) for _ in range(8)))

    assert {answer.status_code for answer in answers} == {422, 503}
    assert all("retry-after" in answer.headers for answer in answers if answer.status_code == 503)
    assert (await web.post_events(*[{}] * 1000)).status_code == 422
