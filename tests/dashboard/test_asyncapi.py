"""The published description of the agent socket holds what is really said on it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import jsonschema_rs
import pytest
from django.test import Client
from websockets.asyncio.client import ClientConnection

from dashboard.asyncapi import PATH, asyncapi_document
from tests.support.web import Agent, Web, serve

CATALOG = {"breaker": "catalog", "state": "closed", "natural_state": "closed", "target": "catalog"}
Frame = dict[str, Any]


@pytest.fixture
async def web(transactional_db: None) -> AsyncIterator[Web]:
    async with serve() as running:
        yield running


class Recorder(Agent):
    """Keeps both sides of the conversation."""

    def __init__(self, socket: ClientConnection) -> None:
        super().__init__(socket)
        self.said: list[Frame] = []
        self.told: list[Frame] = []

    async def say(self, **frame: Any) -> None:
        self.said.append(frame)
        await super().say(**frame)

    async def hear(self, kind: str) -> Frame:
        frame = await super().hear(kind)
        self.told.append(frame)
        return frame


async def whole_session(web: Web) -> Recorder:
    """One of each frame, by a real agent and the real panel."""
    async with web.socket("/agent/v1") as socket:
        agent = Recorder(socket)
        await agent.hello(
            CATALOG | {"library": "pybreaker 1.4.1", "seq": 4, "config": {"fail_max": 5}},
            agent={"name": "recorder", "version": "1"},
            labels={"zone": "a"},
            sent_at="2026-11-23T10:00:00Z",
        )
        await agent.events(
            {"breaker": "catalog", "to": "open", "from": "closed", "id": "e1", "seq": 5}
            | {"cause": "automatic", "metrics": {"calls": 20, "failed": 14, "window": 10}},
            {"breaker": "catalog", "type": "note", "occurred_at": "2001-01-01T00:00:00Z"},
        )
        breaker = (await web.breaker("orders", "catalog"))["id"]
        wish = {"mode": "forced_open", "reason": "maintenance", "expires_in": 600}
        await web.call("PUT", f"breakers/{breaker}/override", wish)
        revision = (await agent.hear("desired"))["revision"]
        trip = {"command": "trip", "reason": "trying"}
        await web.call("POST", f"breakers/{breaker}/commands", trip)
        assert (await agent.hear("desired"))["command"]["command"] == "trip"
        applied = {"type": "applied", "breaker": "catalog", "revision": revision}
        await agent.say(**applied, ok=True, state="forced_open", natural_state="closed")
        await agent.say(**applied, ok=False, error="read-only")
        await agent.hello(CATALOG)
        assert len(agent.welcome["desired"]) == 1
        await agent.say(type="ping", sent_at="2026-11-23T10:00:10Z")
        await agent.hear("pong")
        await agent.say(type="goodbye")
    return agent


def validators(operation: str) -> dict[str, jsonschema_rs.Validator]:
    """By frame type, for one direction, found as a reader of the document finds them."""
    document = asyncapi_document()
    found = {}
    for reference in document["operations"][operation]["messages"]:
        name = reference["$ref"].rpartition("/")[2]
        payload = document["components"]["messages"][name]["payload"]
        schema = {"components": document["components"], **payload}
        found[name] = jsonschema_rs.validator_for(schema)
    return found


async def test_every_frame_of_a_real_session_is_as_the_document_says(web: Web) -> None:
    session = await whole_session(web)

    for operation, frames in (("fromAgent", session.said), ("toAgent", session.told)):
        kinds = validators(operation)
        assert {frame["type"] for frame in frames} == set(kinds)
        for frame in frames:
            kinds[frame["type"]].validate(frame)


async def test_the_document_says_enough_to_tell_a_wrong_frame(web: Web) -> None:
    session = await whole_session(web)

    for operation, frames in (("fromAgent", session.said), ("toAgent", session.told)):
        kinds = validators(operation)
        for frame in frames:
            others = [kind for kind in kinds if kind != frame["type"]]
            assert not any(kinds[other].is_valid(frame) for other in others)
            if frame["type"] == "desired":
                assert not kinds["desired"].is_valid(frame | {"mode": "ajar"})
                assert not kinds["desired"].is_valid(frame | {"revision": "12"})


@pytest.mark.django_db
def test_it_is_open_to_all_and_the_page_of_the_api_leads_to_it(client: Client) -> None:
    answer = client.get(PATH)

    assert answer["Content-Type"] == "application/json"
    assert answer.json()["asyncapi"] == "3.0.0"
    assert PATH in client.get("/docs/api/").content.decode()


def test_every_reference_in_it_leads_somewhere() -> None:
    document = asyncapi_document()

    def walk(part: object) -> None:
        if isinstance(part, dict):
            if "$ref" in part:
                target: Any = document
                for step in part["$ref"].removeprefix("#/").split("/"):
                    target = target[step]
            for value in part.values():
                walk(value)
        elif isinstance(part, list):
            for value in part:
                walk(value)

    walk(json.loads(json.dumps(document)))
