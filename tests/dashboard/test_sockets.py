"""What a WebSocket's peer may do without harm to others."""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import pytest
from websockets.frames import Frame, Opcode

from breakers.agents.session import Effect, Session
from breakers.closing import OVERLOADED
from breakers.flood import FRAMES_AT_ONCE
from dashboard.sockets import PIECE, SocketProtocol
from tests.support.web import Web

HELLO = b'{"type":"hello","service":"orders","instance":"one","boot":"b","environment":"prod"}'


class Peer:
    """The other side, by hand: it reads and answers nothing by itself."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def say(self, opcode: Opcode, data: bytes = b"", *, times: int = 1, fin: bool = True) -> None:
        self._writer.write(Frame(opcode, data, fin).serialize(mask=True) * times)

    async def hear(self) -> tuple[Opcode, bytes]:
        """The next frame, of less than 64 KiB."""
        head = await asyncio.wait_for(self._reader.readexactly(2), 30)
        size = (
            head[1] if head[1] < 126 else int.from_bytes(await self._reader.readexactly(2), "big")
        )
        return Opcode(head[0] & 15), await self._reader.readexactly(size)


@asynccontextmanager
async def peer(web: Web, path: str) -> AsyncIterator[Peer]:
    reader, writer = await asyncio.open_connection(*web.host.split(":"))
    heads = {
        "Host": web.host,
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(b"0" * 16).decode(),
    } | web.bearer()
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in heads.items())]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
    assert head.startswith(b"HTTP/1.1 101 ")
    yield Peer(reader, writer)
    writer.close()


async def test_who_reads_nothing_is_owed_a_pong_to_its_latest_ping_alone(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, pinged = SocketProtocol.handle_ping, asyncio.Queue[SocketProtocol]()

    def handle_ping(protocol: SocketProtocol) -> None:
        plain(protocol)
        pinged.put_nowait(protocol)

    monkeypatch.setattr(SocketProtocol, "handle_ping", handle_ping)
    async with peer(web, "/live/v1") as reader:
        reader.say(Opcode.PING, b"first")
        protocol = await asyncio.wait_for(pinged.get(), 30)
        protocol.pause_writing()  # as its transport does, where what is written is not read
        reader.say(Opcode.PING, b"second", times=2)
        reader.say(Opcode.PING, b"third")
        for _ in range(3):
            await asyncio.wait_for(pinged.get(), 30)
        assert await reader.hear() == (Opcode.PONG, b"first")

        protocol.resume_writing()

        assert await reader.hear() == (Opcode.PONG, b"third")
        reader.say(Opcode.PING, b"fourth")
        assert await reader.hear() == (Opcode.PONG, b"fourth")


FLOODS = {
    "pings": (Opcode.PING, b"", True),
    "pongs": (Opcode.PONG, b"", True),
    "pings in text": (Opcode.TEXT, b'{"type":"ping"}', True),
    "parts of a message": (Opcode.CONT, b"", False),
}


@pytest.mark.parametrize("path", ["/live/v1", "/agent/v1"])
@pytest.mark.parametrize("name", FLOODS)
async def test_a_flood_of_frames_that_say_nothing_is_ended(web: Web, path: str, name: str) -> None:
    opcode, data, fin = FLOODS[name]
    async with peer(web, path) as flooding:
        if path == "/agent/v1":
            flooding.say(Opcode.TEXT, HELLO)
            assert (await flooding.hear())[0] is Opcode.TEXT
        if opcode is Opcode.CONT:
            flooding.say(Opcode.TEXT, b"", fin=False)
        flooding.say(opcode, data, times=FRAMES_AT_ONCE + 100, fin=fin)

        while (frame := await flooding.hear())[0] is not Opcode.CLOSE:
            pass
        assert int.from_bytes(frame[1][:2], "big") == OVERLOADED


class Turns:
    """Those of the loop, counted while this is entered."""

    now = 0

    async def __aenter__(self) -> None:
        self._counting = asyncio.create_task(self._count())

    async def __aexit__(self, *_: object) -> None:
        self._counting.cancel()

    async def _count(self) -> None:
        while True:
            self.now += 1
            await asyncio.sleep(0)


async def test_a_message_in_many_parts_leaves_others_their_turn(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = Turns()
    plain, heard = SocketProtocol.handle_events, Counter[int]()

    def handle_events(protocol: SocketProtocol) -> None:
        heard[turns.now] += 1
        plain(protocol)

    monkeypatch.setattr(SocketProtocol, "handle_events", handle_events)
    async with turns, peer(web, "/live/v1") as watcher:
        watcher.say(Opcode.TEXT, b'{"type":"ping"' + b" " * 50, fin=False)
        watcher.say(Opcode.CONT, b" " * 64, times=5000, fin=False)
        watcher.say(Opcode.CONT, b"}")

        assert await watcher.hear() == (Opcode.TEXT, b'{"type":"pong"}')
    assert len(heard) >= 5000 * 64 / PIECE
    assert max(heard.values()) == 1


async def test_many_frames_that_come_at_once_are_all_heard_and_leave_others_their_turn(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = Turns()
    plain, heard = Session.receive, Counter[int]()

    def receive(session: Session, text: str, *, now: datetime) -> Effect:
        heard[turns.now] += 1
        return plain(session, text, now=now)

    async with turns, peer(web, "/agent/v1") as agent:
        agent.say(Opcode.TEXT, HELLO)
        assert (await agent.hear())[0] is Opcode.TEXT
        monkeypatch.setattr(Session, "receive", receive)

        applied = b'{"type":"applied","breaker":"other","revision":1,"ok":true}'
        agent.say(Opcode.TEXT, applied, times=5000)
        agent.say(Opcode.TEXT, b'{"type":"ping"}')

        assert await agent.hear() == (Opcode.TEXT, b'{"type":"pong"}')
    assert heard.total() == 5001
    assert max(heard.values()) <= PIECE / len(applied)
