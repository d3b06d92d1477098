"""Two web processes are one panel: what one takes in, the sockets and agents of the other are told."""

from __future__ import annotations

import asyncio
import http.client
import json
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.faults.control import Hand
from tests.faults.outage import frozen, meanwhile, only
from tests.support.eventually import aeventually
from tests.support.guarded import Guarded
from tests.support.proxy import Proxy
from tests.support.stack import Stack
from tests.support.web import Agent, Watcher

pytestmark = pytest.mark.xdist_group("faults")

RIGHT_WITHIN_S = 30


class Connection:
    """HTTP over one connection, and so with one process."""

    def __init__(self, stack: Stack, name: str) -> None:
        self._http = http.client.HTTPConnection(urlsplit(stack.url).netloc, timeout=10)
        self._headers = {
            "Authorization": f"Bearer {stack.key}",
            "Content-Type": "application/json",
        }
        with only(stack, name):
            assert self.call("GET", "/api/v1/version")

    def call(self, method: str, path: str, body: Any = None) -> Any:
        self._http.request(method, path, json.dumps(body), self._headers)
        answer = self._http.getresponse()
        told = answer.read()
        assert answer.status < 300, told
        assert not answer.will_close
        return json.loads(told)


async def open_socket(stack: Stack, name: str, path: str, last: AsyncExitStack) -> ClientConnection:
    with only(stack, name):
        return await socket_to(stack, path, last)


async def socket_to(stack: Stack, path: str, last: AsyncExitStack) -> ClientConnection:
    return await last.enter_async_context(
        connect(
            f"{stack.ws_url}{path}",
            additional_headers={"Authorization": f"Bearer {stack.key}"},
            proxy=None,
        )
    )


@pytest.mark.parametrize(("one", "other"), [("web.1", "web.2"), ("web.2", "web.1")])
async def test_a_change_taken_by_one_is_seen_by_the_sockets_and_agents_of_the_other(
    broken_stack: Stack, one: str, other: str
) -> None:
    service = f"two-{uuid4().hex[:6]}"
    async with AsyncExitStack() as last:
        watcher = Watcher(await open_socket(broken_stack, other, "/live/v1", last))
        await watcher.subscribe(service=service)
        assert await watcher.take() == "snapshot"
        agent = Agent(await open_socket(broken_stack, other, "/agent/v1", last))
        await agent.hello({"breaker": "catalog", "state": "closed"}, service=service)
        await watcher.until(lambda board: len(board) == 1)
        [id] = watcher.board
        http = Connection(broken_stack, one)

        event = {
            "environment": "prod",
            "service": service,
            "breaker": "catalog",
            "instance": "two",
            "to": "open",
        }
        http.call("POST", "/api/v1/events", event)

        await watcher.until(lambda board: board[id]["state"] == "open")

        http.call(
            "PUT",
            f"/api/v1/breakers/{id}/override",
            {"mode": "forced_closed", "reason": "from next door", "no_expiry": True},
        )

        desired = await agent.hear("desired")
        assert (desired["mode"], desired["reason"]) == ("forced_closed", "from next door")
        await agent.say(
            type="applied",
            breaker="catalog",
            revision=desired["revision"],
            ok=True,
            state="forced_closed",
            natural_state="closed",
        )
        await watcher.until(
            lambda board: board[id]["override"] and board[id]["override"]["applied"] == 1
        )
        assert (
            watcher.board[id] == http.call("GET", f"/api/v1/breakers?service={service}")["items"][0]
        )


async def becomes_right(hand: Hand, state: str, revision: int) -> None:
    await aeventually(
        lambda: asyncio.to_thread(hand.is_put_right, state, revision), within=RIGHT_WITHIN_S
    )


async def revisions_told(agent: Agent, *, until: int = 0) -> list[int]:
    """What comes up to this revision, and to the answer to a word of the agent's."""
    told: list[int] = []
    while until and until not in told:
        told.append((await agent.hear("desired"))["revision"])
    await agent.say(type="ping")
    while True:
        frame = json.loads(await asyncio.wait_for(agent.socket.recv(), RIGHT_WITHIN_S))
        if frame["type"] == "pong":
            return told
        told.append(frame["revision"])


async def test_an_agent_that_moves_to_a_process_that_is_behind_never_goes_back(
    broken_stack: Stack,
) -> None:
    """Without Redis and just out of a standstill, one process knows the first wish alone when two agents come to it
    that have applied the third: one by hand, which sees what it is told, and the SDK's, whose calls show what it
    does."""
    service = f"behind-{uuid4().hex[:6]}"
    hand = Hand(broken_stack, service)
    named = {"service": service, "environment": "default"}
    closed = {"breaker": "catalog", "state": "closed"}
    async with AsyncExitStack() as last:
        way = last.enter_context(Proxy(broken_stack.url))
        with only(broken_stack, "web.1"):
            guarded = last.enter_context(Guarded(broken_stack, service, "catalog", url=way.url))
            await becomes_right(hand, "closed", 0)
        outcomes = guarded.outcomes["catalog"]
        moving = Agent(await open_socket(broken_stack, "web.1", "/agent/v1", last))
        await moving.hello(closed, **named, instance="moving")
        staying = Agent(await open_socket(broken_stack, "web.2", "/agent/v1", last))
        await staying.hello(closed, **named, instance="staying")
        first = await asyncio.to_thread(hand.force)
        assert await revisions_told(staying, until=first) == [first]
        assert await revisions_told(moving, until=first) == [first]

        async with meanwhile(frozen(broken_stack, "redis")):
            with only(broken_stack, "web.1"):
                await becomes_right(hand, "forced_open", first)
                second = await asyncio.to_thread(hand.release)
                await becomes_right(hand, "closed", second)
                third = await asyncio.to_thread(hand.force)
                await becomes_right(hand, "forced_open", third)
                assert await revisions_told(moving, until=third) == [second, third]
            with only(broken_stack, "web.2"):
                way.drop()
                moved = Agent(await socket_to(broken_stack, "/agent/v1", last))
                applied = closed | {"state": "forced_open", "applied_revision": third}
                await moved.hello(applied, **named, instance="moving")
                welcomed = [desired["revision"] for desired in moved.welcome["desired"]]

                assert welcomed == [third]
                assert await revisions_told(moved) == []
                assert await revisions_told(staying, until=third) in ([third], [second, third])
                await aeventually(lambda: way.connections == 1, within=RIGHT_WITHIN_S)
                await becomes_right(hand, "forced_open", third)
            assert outcomes == ["through", "refused", "through", "refused"]
