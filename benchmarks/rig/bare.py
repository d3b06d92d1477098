"""The peers of the web process: bare ASGI applications on the same server with the same settings, its HTTP as it comes.

    python benchmarks/rig/bare.py json FD
    python benchmarks/rig/bare.py live FD FRAMES
    python benchmarks/rig/bare.py polled FD

`json` decodes an event and answers as if it had been stored. `live` takes sockets; `GET /at_their_pace` and
`GET /at_once` write the frames of the file FRAMES to all of them and answer when that is done. `polled` answers `GET`
with what is wished, which `POST /desired` says, and takes note of each `POST /applied`; all in memory.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

import msgspec
import uvicorn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dashboard.settings")

from sockets import Frame

from dashboard.management.commands.web import configuration

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


async def json(scope: Message, receive: Receive, send: Send) -> None:
    """JSON in, JSON out."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    event = _decode(body)
    told = _encode({"accepted": 1 if event else 0, "duplicates": 0, "rejected": []})
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(told)).encode()),
    ]
    await send({"type": "http.response.start", "status": 202, "headers": headers})
    await send({"type": "http.response.body", "body": told})


class Live:
    """A loop that writes the same frames to many sockets, and nothing else."""

    def __init__(self, frames: Path) -> None:
        self._frames = msgspec.json.decode(frames.read_bytes(), type=list[Frame])
        self._sends: list[Send] = []

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
        elif scope["type"] == "websocket":
            await self._socket(receive, send)
        else:
            await self._tell_all(at_once=scope["path"] == "/at_once")
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body"})

    async def _socket(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        await send({"type": "websocket.send", "text": self._frames[0].text})
        self._sends.append(send)
        while (await receive())["type"] != "websocket.disconnect":
            pass
        self._sends.remove(send)

    async def _tell_all(self, *, at_once: bool) -> None:
        loop = asyncio.get_running_loop()
        shift = loop.time() - self._frames[0].at
        for frame in self._frames:
            if not at_once:
                await asyncio.sleep(frame.at + shift - loop.time())
            for send in self._sends:
                await send({"type": "websocket.send", "text": frame.text})


class Polled:
    """A control plane that is asked, at its least: nobody is known, nothing is stored."""

    def __init__(self) -> None:
        self._wished = b'{"revision":0}'
        self._applied: Counter[int] = Counter()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
            return
        told = b""
        if scope["method"] == "GET":
            told = self._wished
        elif scope["path"] == "/desired":
            self._wished = (await receive())["body"]
        else:
            self._applied[_decode((await receive())["body"])["revision"]] += 1
        headers = [(b"content-length", str(len(told)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": told})


async def lifespan(receive: Receive, send: Send) -> None:
    for ended in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{ended}.complete"})


def main(which: str, fd: str, *arguments: str) -> None:
    config = configuration(host="127.0.0.1", port=0, workers=1)
    kinds = {"json": lambda: json, "live": Live, "polled": Polled}
    config.app = kinds[which](*map(Path, arguments))
    config.http = "httptools"  # without what ours does better
    # Who asks each 15 s is not to connect each time.
    config.timeout_keep_alive = 60
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(fd))])


if __name__ == "__main__":
    main(*sys.argv[1:])
