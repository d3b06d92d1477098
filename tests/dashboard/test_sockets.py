"""What a WebSocket's peer may do without harm to others."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from websockets.frames import Frame, Opcode

from dashboard.sockets import SocketProtocol
from tests.support.web import Web


class Peer:
    """The other side, by hand: it reads and answers nothing by itself."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def say(self, opcode: Opcode, data: bytes = b"", *, times: int = 1, fin: bool = True) -> None:
        self._writer.write(Frame(opcode, data, fin).serialize(mask=True) * times)

    async def hear(self) -> tuple[Opcode, bytes]:
        """The next frame, a short one."""
        head = await asyncio.wait_for(self._reader.readexactly(2), 30)
        return Opcode(head[0] & 15), await self._reader.readexactly(head[1])


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
