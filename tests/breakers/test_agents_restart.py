"""A web process that stops in good order ends the sockets of its agents; of the agents that says nothing."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from breakers.models import Instance
from tests.breakers.test_agents import close_code, inside
from tests.breakers.test_longpoll_presence import seen_ago, watched_for_long
from tests.support.eventually import aeventually
from tests.support.poller import CLOSED, Poller, waiting_call
from tests.support.web import Agent, Watcher, serve

pytestmark = pytest.mark.django_db(transaction=True)


async def agent_of_a_server_that_stops() -> Agent:
    """Welcomed by a web process that has stopped since, and closed with 1012."""
    async with serve() as stopping:
        agent = Agent(await stopping.socket("/agent/v1"))
        await agent.hello(CLOSED)
    assert await close_code(agent) == 1012
    return agent


async def test_an_agent_that_comes_back_was_connected_all_the_while() -> None:
    async with serve() as staying, staying.socket("/live/v1") as socket:
        watcher = Watcher(socket)
        await watcher.subscribe(service="orders")
        await agent_of_a_server_that_stops()

        assert (await inside(staying))["connected"] is True
        async with staying.agent(CLOSED) as back:
            await back.events({"breaker": "catalog", "to": "open"})
            seen: list[int] = []
            while not any(one["state"] == "open" for one in watcher.board.values()):
                await watcher.take()
                seen += [one["not_connected"] for one in watcher.board.values()]

    assert set(seen) == {0}


async def test_one_that_stays_away_is_told_by_its_silence() -> None:
    await agent_of_a_server_that_stops()

    async with serve() as web:
        await watched_for_long()
        standing = []
        for silent_for in (28, 31, 61):
            await seen_ago(silent_for)
            await web.entrance.runtime.liveness._look()
            one = await inside(web)
            standing.append((one["connected"], one["lost_at"] is not None, one["state"]))

    assert standing == [
        (True, False, "closed"),
        (False, False, "closed"),
        (False, True, "unknown"),
    ]


async def test_an_agent_that_goes_is_not_connected_at_once_whatever_code_it_gives() -> None:
    async with serve() as web:
        async with web.agent(CLOSED) as agent:
            await agent.socket.close(1012)

        await aeventually(lambda: Instance.objects.filter(connected=False).aexists())


async def test_a_call_that_waits_as_the_server_stops_was_no_silence() -> None:
    async with serve() as staying:
        async with serve() as stopping:
            poller = Poller(stopping)
            await poller.hello(CLOSED)
            await poller.all()
            async with waiting_call(poller) as call:
                stopping.server.should_exit = True
                assert (await asyncio.wait_for(call, 30)).status_code == 503

        assert (await inside(staying))["connected"] is True
        back = Poller(staying, cursor=poller.cursor)
        assert await back.next(wait=0) == []
        assert (await inside(staying))["connected"] is True


async def test_of_a_fleet_that_comes_back_at_once_nobody_is_turned_away() -> None:
    async with serve() as web, contextlib.AsyncExitStack() as held:

        async def come_back(number: int) -> bool:
            agent = Agent(await held.enter_async_context(web.socket("/agent/v1")))
            await agent.hello(CLOSED, service=f"s{number % 10}", instance=f"i{number}")
            return agent.welcome["type"] == "welcome"

        assert all(await asyncio.gather(*map(come_back, range(500))))
