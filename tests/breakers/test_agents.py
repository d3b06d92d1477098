from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone
from websockets.exceptions import ConnectionClosed, InvalidStatus

from breakers.models import ApiKey, BreakerInstance, Event, Instance
from dashboard import sockets
from tests.support.eventually import aeventually
from tests.support.make import make_key
from tests.support.web import Agent, Web

CLOSED = {"breaker": "catalog", "state": "closed", "target": "catalog", "library": "pybreaker 1.4"}
FORCE = {"mode": "forced_open", "reason": "maintenance", "expires_in": 600}


async def close_code(agent: Agent) -> int:
    with pytest.raises(ConnectionClosed) as closed:
        await asyncio.wait_for(agent.socket.recv(), 30)
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code


async def breaker_id(web: Web) -> str:
    return str((await web.breaker("orders", "catalog"))["id"])


async def inside(web: Web) -> dict[str, Any]:
    """The breaker in its one instance."""
    [one] = (await web.get(f"breakers/{await breaker_id(web)}/instances"))["items"]
    return dict(one)


async def force(web: Web, **wish: Any) -> dict[str, Any]:
    answer = await web.call("PUT", f"breakers/{await breaker_id(web)}/override", FORCE | wish)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_a_hello_shows_the_breaker(web: Web) -> None:
    async with web.agent(CLOSED) as agent:
        assert agent.welcome == {"type": "welcome", "heartbeat": 10, "desired": []}

        shown = await web.breaker("orders", "catalog")

        assert shown["state"] == "closed"
        assert shown["target"] == "catalog"
        [inside] = (await web.get(f"breakers/{shown['id']}/instances"))["items"]
        assert inside["connected"] is True
        assert inside["library"] == "pybreaker 1.4"


async def test_events_are_acknowledged_by_batch(web: Web) -> None:
    async with web.agent(CLOSED) as agent:
        ack = await agent.events(
            {"breaker": "catalog", "to": "open", "seq": 1, "id": "e1"},
            {"breaker": "catalog", "to": "ajar"},
            {"breaker": "catalog", "to": "open", "seq": 1, "id": "e1"},
            batch=7,
        )

    assert (ack["batch"], ack["accepted"], ack["duplicates"]) == (7, 1, 1)
    assert ack["rejected"][0]["index"] == 1
    assert (await Event.objects.aget(event_id="e1")).boot == "b1"


async def test_half_a_surrogate_pair_does_not_end_the_conversation(web: Web) -> None:
    async with web.agent(CLOSED) as agent:
        good = {"breaker": "catalog", "to": "open"}
        ack = await agent.events(good | {"detail": "\ud83d"}, good)

        assert (ack["accepted"], [one["index"] for one in ack["rejected"]]) == (1, [0])


async def test_batches_sent_without_waiting_are_committed_in_order(web: Web) -> None:
    async with web.agent(CLOSED) as agent:
        for number in range(40):
            to = "open" if number % 2 else "closed"
            await agent.say(type="events", batch=number, events=[{"breaker": "catalog", "to": to}])
        acks = [await agent.hear("ack") for _ in range(40)]

        assert [ack["batch"] for ack in acks] == list(range(40))
        assert (await web.breaker("orders", "catalog"))["state"] == "open"


async def test_a_ping_is_answered(web: Web) -> None:
    async with web.agent(CLOSED) as agent:
        await agent.say(type="ping")

        await agent.hear("pong")


async def test_a_hello_with_news_is_a_state_change(web: Web) -> None:
    async with web.agent(CLOSED):
        pass

    async with web.agent(CLOSED | {"state": "open"}, boot="b2"):
        assert (await web.breaker("orders", "catalog"))["state"] == "open"

    assert await Event.objects.filter(origin="server", reason="hello").acount() == 2


async def test_a_change_that_is_sent_after_the_hello_that_tells_it_says_why(web: Web) -> None:
    """As of a breaker that trips while its agent still connects."""
    at = (datetime.now(UTC) - timedelta(seconds=5)).isoformat()
    hello = {"breaker": "catalog", "state": "open", "seq": 1, "since": at}
    async with web.agent(hello) as agent:
        change = {"breaker": "catalog", "from": "closed", "to": "open", "seq": 1, "occurred_at": at}
        await agent.events(
            change | {"id": str(uuid.uuid4()), "reason": "failures", "detail": "down"}
        )

    held = await BreakerInstance.objects.aget()
    assert (held.state, held.reason, held.detail) == ("open", "failures", "down")


async def test_a_hello_that_says_nothing_new_writes_nothing(web: Web) -> None:
    async with web.agent(CLOSED) as agent:
        await agent.hello(CLOSED)

    assert await Event.objects.acount() == 1


async def test_the_newer_connection_of_an_instance_stays(web: Web) -> None:
    async with web.agent(CLOSED) as older, web.agent(CLOSED, boot="b2") as newer:
        assert await close_code(older) == 4409
        await newer.say(type="ping")
        await newer.hear("pong")


async def test_a_first_hello_of_a_connection_that_was_left_takes_nothing_over(web: Web) -> None:
    async with web.socket("/agent/v1") as left, web.agent(CLOSED, connection=2) as newer:
        late = Agent(left)
        with pytest.raises(ConnectionClosed):
            await late.hello(CLOSED | {"state": "open"}, connection=1)
        assert left.close_code == 4409

        await newer.say(type="ping")
        await newer.hear("pong")
        assert (await web.breaker("orders", "catalog"))["state"] == "closed"
        await newer.hello(CLOSED | {"state": "open"}, connection=2)
        assert (await web.breaker("orders", "catalog"))["state"] == "open"


async def test_a_first_hello_of_a_connection_that_was_left_brings_nobody_back(web: Web) -> None:
    async with web.socket("/agent/v1") as left:
        async with web.agent(CLOSED, connection=2) as agent:
            await agent.say(type="goodbye")
            assert await close_code(agent) == 1000
        with pytest.raises(ConnectionClosed):
            await Agent(left).hello(CLOSED, connection=1)

    assert (await Instance.objects.aget()).retired_at is not None


@pytest.mark.parametrize(
    "later",
    [{"connection": 3}, {}, {"connection": 1, "boot": "b2"}],
    ids=["a later one", "one of who counts no more", "the first of another boot"],
)
async def test_any_other_first_hello_takes_the_instance_over(
    web: Web, later: dict[str, Any]
) -> None:
    async with web.agent(CLOSED, connection=2) as older, web.agent(CLOSED, **later) as newer:
        assert await close_code(older) == 4409
        await newer.say(type="ping")
        await newer.hear("pong")


async def test_a_goodbye_retires_the_instance(web: Web) -> None:
    async with web.agent(CLOSED) as agent:
        await agent.say(type="goodbye")
        assert await close_code(agent) == 1000

    assert (await Instance.objects.aget()).retired_at is not None
    shown = await web.breaker("orders", "catalog")
    assert (shown["state"], shown["instances"]) == ("unknown", 0)


async def test_a_broken_socket_is_noticed(web: Web) -> None:
    async with web.agent(CLOSED) as agent:
        agent.socket.transport.abort()

    await aeventually(lambda: Instance.objects.filter(connected=False).aexists())


async def test_a_wrong_key_and_a_missing_scope_are_told_by_code(web: Web) -> None:
    _, reader = await sync_to_async(make_key)(name="reader", scopes=["read"])

    async with web.socket("/agent/v1", Authorization="Bearer wrong") as socket:
        assert await close_code(Agent(socket)) == 4401
    async with web.socket("/agent/v1", Authorization=f"Bearer {reader}") as socket:
        assert await close_code(Agent(socket)) == 4403


async def test_an_agent_cannot_speak_for_another_service(web: Web) -> None:
    _, key = await sync_to_async(make_key)(
        name="feed", scopes=["agent"], environment="prod", services=["feed"]
    )

    async with web.socket("/agent/v1", Authorization=f"Bearer {key}") as socket:
        agent = Agent(socket)
        await agent.say(type="hello", service="orders", instance="a", boot="b")

        assert await close_code(agent) == 4403


async def test_a_foreign_page_is_refused_before_the_accept(web: Web) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with web.socket("/agent/v1", Origin="https://evil.example", **web.bearer()):
            pass

    assert refused.value.response.status_code == 403


async def test_a_revoked_key_ends_its_sockets_within_seconds(web: Web) -> None:
    _, key = await sync_to_async(make_key)(name="short", scopes=["agent"])
    async with web.socket("/agent/v1", Authorization=f"Bearer {key}") as socket:
        agent = Agent(socket)
        await agent.hello(CLOSED)

        await revoke("short")

        assert await asyncio.wait_for(close_code(agent), 30) == 4401


async def revoke(name: str) -> None:
    await ApiKey.objects.filter(name=name).aupdate(revoked_at=timezone.now())


async def test_a_key_revoked_before_the_hello_ends_its_socket(web: Web) -> None:
    _, key = await sync_to_async(make_key)(name="short", scopes=["agent"])
    async with web.socket("/agent/v1", Authorization=f"Bearer {key}") as socket:
        await revoke("short")

        assert await close_code(Agent(socket)) == 4401


@contextlib.asynccontextmanager
async def deaf_agent(web: Web, key: str) -> AsyncIterator[Agent]:
    """One that has been told so much, and reads nothing of it, that nothing more can be written to it."""
    host, _, port = web.host.partition(":")
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
    small.connect((host, int(port)))
    async with web.socket("/agent/v1", over=small, Authorization=f"Bearer {key}") as deaf:
        agent = Agent(deaf)
        await agent.hello(CLOSED)
        deaf.transport.pause_reading()
        [connection] = [
            one
            for one in web.server.server_state.connections
            if isinstance(one, sockets.SocketProtocol)
        ]
        ours = connection.transport.get_extra_info("socket")
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
        # Each is answered by about 70 kB, far more in all than the kernel keeps.
        wrong = json.dumps([{"breaker": "catalog", "to": "ajar"}] * 1000)
        for number in range(100):
            await deaf.send(f'{{"type":"events","batch":{number},"events":{wrong}}}')
        await aeventually(lambda: not connection.writable.is_set(), within=20)
        yield agent
        deaf.transport.abort()


async def test_a_revoked_key_ends_the_session_of_an_agent_that_reads_nothing(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "LINGERS_S", 0.1)
    _, key = await sync_to_async(make_key)(name="short", scopes=["agent"])
    async with deaf_agent(web, key):
        await revoke("short")

        await aeventually(lambda: Instance.objects.filter(connected=False).aexists())
        # Nothing is kept for it either.
        await aeventually(
            lambda: (
                not any(
                    isinstance(one, sockets.SocketProtocol)
                    for one in web.server.server_state.connections
                )
            )
        )


async def test_a_hello_cut_short_leaves_no_instance_connected(web: Web) -> None:
    """The agent goes while its hello is being committed."""
    async with web.socket("/agent/v1") as socket:
        hello = {"type": "hello", "service": "orders", "instance": "one", "boot": "b1"}
        await socket.send(json.dumps(hello))
        socket.transport.abort()

    await aeventually(lambda: Instance.objects.filter(connected=False).aexists())


@pytest.mark.parametrize(
    "since", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00Z"]
)
async def test_a_since_at_the_edge_of_the_calendar_is_bounded(web: Web, since: str) -> None:
    async with web.agent(CLOSED | {"since": since}):
        assert (await web.breaker("orders", "catalog"))["state"] == "closed"


async def test_one_that_cannot_be_stored_takes_nobody_with_it(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of ours, brought out by one event, is that event's alone."""
    from breakers.ingest.judging import Judging

    plain = Judging._change_of

    def faulty(self: Judging, row: Any) -> Any:
        if row.event.detail == "poison":
            raise OverflowError
        return plain(self, row)

    monkeypatch.setattr(Judging, "_change_of", faulty)
    event = {"service": "orders", "breaker": "catalog", "environment": "prod", "to": "open"}
    answers = await asyncio.gather(
        *(web.post_events(event, event | {"detail": "poison"}) for _ in range(5)),
        *(web.post_events(event) for _ in range(5)),
    )

    assert [answer.status_code for answer in answers] == [202] * 10
    assert [answer.json()["accepted"] for answer in answers] == [1] * 10
    assert answers[0].json()["rejected"][0]["index"] == 1
