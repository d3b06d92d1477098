"""Frames of agents that nobody understands."""

from __future__ import annotations

import asyncio
import contextlib
import json

import pytest
from websockets.exceptions import ConnectionClosed

from tests.support.web import Web

BAD_FRAMES = {
    "no JSON": "hello",
    "no object": "[]",
    "an unknown type": '{"type":"rumour"}',
    "no service": '{"type":"hello","instance":"a","boot":"b"}',
    "an event before hello": '{"type":"events","batch":1,"events":[]}',
    "NUL in a name": json.dumps({"type": "hello", "service": "a\0", "instance": "a", "boot": "b"}),
    "an unknown state": json.dumps(
        {
            "type": "hello",
            "service": "a",
            "instance": "a",
            "boot": "b",
            "breakers": [{"breaker": "c", "state": "ajar"}],
        }
    ),
    "too many breakers": json.dumps(
        {
            "type": "hello",
            "service": "a",
            "instance": "a",
            "boot": "b",
            "breakers": [{"breaker": str(n), "state": "closed"} for n in range(1001)],
        }
    ),
    "NUL in a config": json.dumps(
        {
            "type": "hello",
            "service": "a",
            "instance": "a",
            "boot": "b",
            "breakers": [{"breaker": "c", "state": "closed", "config": {"a": "\0"}}],
        }
    ),
}


@pytest.mark.parametrize("name", BAD_FRAMES)
async def test_what_is_not_understood_ends_the_conversation(web: Web, name: str) -> None:
    async with web.socket("/agent/v1") as socket:
        await socket.send(BAD_FRAMES[name])

        await asyncio.wait_for(socket.wait_closed(), 30)
    assert socket.close_code == 4400


async def test_a_config_is_understood_or_it_is_not_however_deep(web: Web) -> None:
    """A decoder's depth is that of the program at that place: what one part reads, another may not write."""
    codes: set[int | None] = set()
    for depth in (600, *range(930, 1010)):
        config = '{"a":' + "[" * depth + "]" * depth + "}"
        hello = json.dumps(
            {
                "type": "hello",
                "service": "orders",
                "instance": f"i{depth}",
                "boot": "b",
                "breakers": [{"breaker": "catalog", "state": "closed", "config": {}}],
            }
        ).replace('"config": {}', f'"config": {config}')
        async with web.socket("/agent/v1") as socket:
            await socket.send(hello)
            with contextlib.suppress(ConnectionClosed):
                await asyncio.wait_for(socket.recv(), 30)
            codes.add(socket.close_code)
    assert codes == {None, 4400}


async def test_binary_frames_are_not_understood(web: Web) -> None:
    async with web.socket("/agent/v1") as socket:
        await socket.send(b"\x00")

        await asyncio.wait_for(socket.wait_closed(), 30)
    assert socket.close_code == 4400
