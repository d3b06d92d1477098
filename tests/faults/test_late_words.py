"""The last words of a connection that its agent has left come late, and are not believed over the newer one's."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.faults.control import Hand
from tests.faults.outage import frozen, meanwhile, only
from tests.support.eventually import aeventually
from tests.support.proxy import Proxy
from tests.support.stack import Stack
from tests.support.web import Agent

pytestmark = pytest.mark.xdist_group("faults")

TAKEN = 4409
RIGHT_WITHIN_S = 30


def applied(revision: int, state: str) -> dict[str, Any]:
    return {
        "type": "applied",
        "breaker": "catalog",
        "revision": revision,
        "ok": True,
        "state": state,
        "natural_state": "closed",
    }


def changed(number: int, state: str) -> dict[str, Any]:
    """An event that happens now; of this life, it is the one of this number whenever it is sent."""
    at = datetime.now(UTC).isoformat()
    told = {"breaker": "catalog", "to": state, "natural_state": "closed", "cause": "override"}
    return told | {"id": f"b1-{number}", "seq": number, "occurred_at": at}


def presented(state: str, revision: int) -> dict[str, Any]:
    """In a hello."""
    return {"breaker": "catalog", "state": state, "applied_revision": revision}


async def agent_at(stack: Stack, web: str, url: str, last: AsyncExitStack) -> Agent:
    headers = {"Authorization": f"Bearer {stack.key}"}
    where = f"{url.replace('http', 'ws', 1)}/agent/v1"
    with only(stack, web):
        return Agent(
            await last.enter_async_context(connect(where, additional_headers=headers, proxy=None))
        )


def is_noted(stack: Stack, service: str) -> bool:
    """Whether its one instance was heard since its hello."""
    with psycopg.connect(stack.run["database_url"]) as connection:
        heard = connection.execute(
            "SELECT FROM instance i JOIN service s ON s.id = i.service_id"
            " WHERE s.name = %s AND i.last_seen > i.session_since",
            [service],
        )
        return heard.fetchone() is not None


async def close_code(agent: Agent) -> int | None:
    """Once all that still comes is read."""
    while True:
        try:
            await asyncio.wait_for(agent.socket.recv(), RIGHT_WITHIN_S)
        except ConnectionClosed:
            return agent.socket.close_code


async def test_an_applied_and_a_hello_of_a_connection_that_was_left_are_not_believed(
    broken_stack: Stack,
) -> None:
    """Redis is away, or else the one process would hear from the other that the instance has been taken over, and
    close the connection before anything comes of it."""
    service = f"late-{uuid4().hex[:6]}"
    hand = Hand(broken_stack, service)
    named = {"service": service, "environment": "default"}
    async with AsyncExitStack() as last:
        way = last.enter_context(Proxy(broken_stack.url))
        left = await agent_at(broken_stack, "web.1", way.url, last)
        await left.hello(presented("closed", 0), **named)
        forced = await asyncio.to_thread(hand.force)
        assert (await left.hear("desired"))["revision"] == forced
        # Its hello is noted as a sign of life: a later note would find that it was left, and end it before its time.
        await aeventually(lambda: is_noted(broken_stack, service), within=RIGHT_WITHIN_S)
        way.hold("server")
        opened = changed(1, "forced_open")
        await left.say(type="events", batch=1, events=[opened])
        await left.say(**applied(forced, "forced_open"))
        hello = named | {"instance": "one", "boot": "b1"}
        await left.say(type="hello", breakers=[presented("forced_open", forced)], **hello)

        async with meanwhile(frozen(broken_stack, "redis")):
            newer = await agent_at(broken_stack, "web.2", broken_stack.url, last)
            await newer.hello(presented("forced_open", forced), **named)
            released = await asyncio.to_thread(hand.release)
            desired = await newer.hear("desired")
            assert (desired["revision"], desired["mode"]) == (released, None)
            await newer.events(opened, changed(2, "closed"))
            await newer.say(**applied(released, "closed"))
            await aeventually(
                lambda: asyncio.to_thread(hand.is_put_right, "closed", released),
                within=RIGHT_WITHIN_S,
            )

            way.heal()
            assert await close_code(left) == TAKEN

            # That answers its last word, and words are dealt with in their order.
            assert await asyncio.to_thread(hand.is_put_right, "closed", released)
            assert await asyncio.to_thread(hand.history) == ["closed", "forced_open", "closed"]
            await newer.say(type="ping")
            await newer.hear("pong")
