"""A wish on its way to many agents: encoded once, written at once where that overtakes nothing."""

from __future__ import annotations

import asyncio
import json
import uuid
from dataclasses import replace

import pytest

from breakers.agents.hub import AgentSocket
from breakers.agents.session import Session
from breakers.agents.telling import Telling
from breakers.desired.converge import Wish
from breakers.ingest.jobs import Introduced
from breakers.wire import Pong
from dashboard.sockets import SocketProtocol
from tests.breakers.test_agents import CLOSED, force
from tests.support.make import make_actor
from tests.support.web import Web

WISH = Wish(
    breaker_id=7, breaker="catalog", revision=1, mode="forced_open", instances={"in", "too"}
)


def made(write_now: object = None, *, instance: str = "in") -> AgentSocket:
    """A welcomed agent that calls the breaker `catalog`."""
    session = Session(id=uuid.uuid4(), actor=make_actor())
    session.introduced = Introduced(1, 1, instance, {"catalog": 7}, None)
    socket = AgentSocket(session, write_now)  # type: ignore[arg-type]
    socket.welcomed = True
    return socket


async def resting(socket: AgentSocket) -> asyncio.Task[str]:
    """Its own task, which waits for what there is to send."""
    task = asyncio.create_task(socket.next())
    await asyncio.sleep(0)
    return task


def revision(frame: str | bytes) -> int:
    text = frame if isinstance(frame, str) else frame[frame.index(b"{") :].decode()
    return int(json.loads(text)["revision"])


def test_those_of_equal_scope_have_one_frame() -> None:
    telling = Telling([WISH])

    frame = telling.frame(WISH, name="catalog", instance="in")

    assert telling.frame(WISH, name="catalog", instance="too") is frame
    assert json.loads(frame.text)["mode"] == "forced_open"
    outside = telling.frame(WISH, name="catalog", instance="out")
    assert json.loads(outside.text)["mode"] is None
    renamed = telling.frame(WISH, name="old name", instance="in")
    assert json.loads(renamed.text)["breaker"] == "old name"


def test_a_command_is_only_in_the_frame_of_those_whom_it_names() -> None:
    command = replace(
        WISH,
        command_id=uuid.uuid4(),
        command="trip",
        command_instances={"in"},
        command_expires_in=30.0,
    )
    telling = Telling([command])

    told = {
        name: json.loads(telling.frame(command, name="catalog", instance=name).text)["command"]
        for name in ("in", "too")
    }

    assert told["in"]["command"] == "trip"
    assert told["too"] is None


async def test_a_wish_written_at_once_overtakes_none_that_is_under_way() -> None:
    written: list[bytes] = []
    socket = made(lambda frame: written.append(frame) or True)
    socket.tell(Telling([WISH]))
    assert revision(await socket.next()) == 1
    socket.tell(Telling([replace(WISH, revision=2)]))  # while the socket's task sends the first
    assert revision(await socket.next()) == 2
    assert written == []

    at_rest = await resting(socket)
    socket.tell(Telling([replace(WISH, revision=3)]))

    assert [revision(frame) for frame in written] == [3]
    at_rest.cancel()


async def test_a_socket_that_takes_nothing_now_is_owed_all_in_order() -> None:
    socket = made(lambda _: False)
    at_rest = await resting(socket)

    socket.tell(Telling([WISH]))
    socket.tell(Telling([replace(WISH, revision=2)]))
    socket.owe(Pong())

    assert revision(await at_rest) == 1
    assert revision(await socket.next()) == 2
    assert json.loads(await socket.next()) == {"type": "pong"}


async def test_no_older_revision_is_written_after_a_newer_one() -> None:
    written: list[bytes] = []
    socket = made(lambda frame: written.append(frame) or True)
    at_rest = await resting(socket)

    socket.tell(Telling([replace(WISH, revision=2)]))
    socket.tell(Telling([WISH]))

    assert [revision(frame) for frame in written] == [2]
    at_rest.cancel()


async def test_agents_that_keep_up_are_written_to_at_once(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[bytes] = []
    plain = SocketProtocol.write_now

    def write_now(protocol: SocketProtocol, frame: bytes) -> bool:
        done = plain(protocol, frame)
        if done:
            written.append(frame)
        return done

    monkeypatch.setattr(SocketProtocol, "write_now", write_now)
    async with web.agent(CLOSED, instance="one") as one, web.agent(CLOSED, instance="two") as two:
        await force(web)

        told = [await agent.hear("desired") for agent in (one, two)]

    assert [desired["mode"] for desired in told] == ["forced_open"] * 2
    wishes = [frame for frame in written if b'"desired"' in frame and b'"welcome"' not in frame]
    assert len(wishes) == 2
    assert wishes[0] is wishes[1]
