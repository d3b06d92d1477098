"""What an agent says before it goes is heard, whatever becomes of the answers."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from breakers.agents import app
from breakers.models import Event, Instance
from tests.support.eventually import aeventually
from tests.support.held import held_up, wait_for_a_lock
from tests.support.make import make_key
from tests.support.web import Agent, Web

CLOSED = {"breaker": "catalog", "state": "closed"}


def opened() -> dict[str, Any]:
    at = timezone.now().isoformat()
    return {"id": str(uuid.uuid4()), "breaker": "catalog", "to": "open", "occurred_at": at}


def said_and_left(agent: Agent, *frames: dict[str, Any]) -> None:
    """All in one segment: what it says, and that it goes."""
    spoken = agent.socket.protocol
    for frame in frames:
        spoken.send_text(json.dumps(frame).encode())
    spoken.send_close(1000)
    agent.socket.transport.write(b"".join(spoken.data_to_send()))


async def test_a_goodbye_is_heard_though_the_answer_before_it_reaches_nobody(web: Web) -> None:
    hello = {"type": "hello", "service": "orders", "instance": "one", "boot": "b1"}
    async with web.agent(CLOSED) as agent:
        again = hello | {"environment": "prod", "breakers": [CLOSED]}
        said_and_left(agent, again, {"type": "goodbye"})

    await aeventually(Instance.objects.filter(retired_at__isnull=False).aexists)


async def test_what_waits_for_its_commit_is_stored_though_its_agent_has_gone(web: Web) -> None:
    first, last = opened(), opened()
    async with web.agent(CLOSED) as agent, web.agent(CLOSED, instance="two") as another:
        async with held_up():
            posted = asyncio.ensure_future(another.events(first))
            await wait_for_a_lock()
            said_and_left(agent, {"type": "events", "batch": 1, "events": [last]})
            await agent.socket.wait_closed()
            await web.http.get("/healthz")  # the server has had turns to take it for gone
        await posted

    await aeventually(Event.objects.filter(event_id=last["id"]).aexists)


async def test_who_goes_while_its_key_is_ahead_of_its_pace_is_not_taken_for_there(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "HEARTBEAT_S", 0.1)
    _, key = await sync_to_async(make_key)(
        name="slow", scopes=["agent", "ingest"], events_per_second=1
    )
    async with web.socket("/agent/v1", Authorization=f"Bearer {key}") as socket:
        agent = Agent(socket)
        await agent.hello(CLOSED)
        await agent.events(*[opened() for _ in range(500)])
        socket.transport.abort()

    await aeventually(Instance.objects.filter(connected=False).aexists)
