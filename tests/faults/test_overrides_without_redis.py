"""Redis makes an override fast; PostgreSQL makes it arrive (I5)."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from websockets.asyncio.client import connect

from tests.faults.outage import frozen, outage
from tests.support.eventually import aeventually
from tests.support.stack import Stack
from tests.support.web import Agent

pytestmark = pytest.mark.xdist_group("faults")

POLLED_WITHIN_S = 4
"""The poll is each second; the machine is shared."""


@asynccontextmanager
async def agent_of(stack: Stack, service: str) -> AsyncIterator[Agent]:
    async with connect(
        f"{stack.ws_url}/agent/v1",
        additional_headers={"Authorization": f"Bearer {stack.key}"},
        proxy=None,
    ) as socket:
        agent = Agent(socket)
        await agent.hello({"breaker": "catalog", "state": "closed"}, service=service)
        yield agent


def put_override(stack: Stack, service: str) -> dict[str, Any]:
    with stack.client() as client:
        [one] = client.get("/api/v1/breakers", params={"service": service}).json()["items"]
        answer = client.put(
            f"/api/v1/breakers/{one['id']}/override",
            json={"mode": "forced_open", "reason": "Redis or not", "expires_in": 600},
        )
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def applied(stack: Stack, service: str) -> int:
    with stack.client() as client:
        [one] = client.get("/api/v1/breakers", params={"service": service}).json()["items"]
    return int(one["override"]["applied"])


@pytest.mark.parametrize("gone", [outage, frozen], ids=["killed", "hung"])
async def test_an_override_placed_while_redis_is_away_reaches_a_connected_agent(
    broken_stack: Stack, gone: Any
) -> None:
    service = f"no-redis-{uuid4().hex[:6]}"
    async with agent_of(broken_stack, service) as agent:
        away = gone(broken_stack, "redis")
        away.__enter__()
        try:
            began = time.monotonic()

            override = await asyncio.to_thread(put_override, broken_stack, service)

            placed = time.monotonic()
            desired = await agent.hear("desired")
            assert time.monotonic() - placed < POLLED_WITHIN_S
            assert (desired["mode"], desired["revision"]) == ("forced_open", override["revision"])
            assert placed - began < 5
            await agent.say(
                type="applied",
                breaker="catalog",
                revision=desired["revision"],
                ok=True,
                state="forced_open",
                natural_state="closed",
            )
            await aeventually(lambda: asyncio.to_thread(applied, broken_stack, service), within=5)
        finally:
            await asyncio.to_thread(away.__exit__, None, None, None)

        # The socket has outlived it, and nothing is told twice.
        await agent.say(type="ping")
        await agent.hear("pong")
    assert json.dumps(override)


@pytest.mark.parametrize("gone", [outage, frozen], ids=["killed", "hung"])
def test_an_override_placed_while_redis_is_away_reaches_an_agent_that_polls(
    broken_stack: Stack, gone: Any
) -> None:
    service = f"no-redis-{uuid4().hex[:6]}"
    names = {"service": service, "environment": "default", "instance": "one"}
    hello = names | {"boot": "b1", "breakers": [{"breaker": "catalog", "state": "closed"}]}
    with broken_stack.client() as client, ThreadPoolExecutor(1) as beside:
        client.post("/api/v1/agent/applied", json={"hello": hello}).raise_for_status()
        cursor = client.get("/api/v1/agent/desired", params=names).json()["cursor"]

        def ask() -> httpx2.Response:
            with broken_stack.client() as other:
                asked = names | {"after": cursor, "wait": 30}
                return other.get("/api/v1/agent/desired", params=asked, timeout=40)

        with gone(broken_stack, "redis"):
            call = beside.submit(ask)
            override = put_override(broken_stack, service)

            [desired] = call.result(POLLED_WITHIN_S).json()["desired"]

            assert (desired["mode"], desired["revision"]) == ("forced_open", override["revision"])
            answer = {"breaker": "catalog", "revision": desired["revision"], "ok": True}
            told = client.post("/api/v1/agent/applied", json=hello | {"applied": [answer]})
            assert told.json()["accepted"] == 1
            assert applied(broken_stack, service) == 1
