"""The peers of the web process: bare ASGI applications on the same server with the same settings.

    python benchmarks/rig/bare.py json FD

`json` decodes an event and answers as if it had been stored.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

import msgspec
import uvicorn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dashboard.settings")

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


async def lifespan(receive: Receive, send: Send) -> None:
    for ended in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{ended}.complete"})


APPLICATIONS = {"json": json}


def main(which: str, fd: str) -> None:
    config = configuration(host="127.0.0.1", port=0, workers=1)
    config.app = APPLICATIONS[which]
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(fd))])


if __name__ == "__main__":
    main(*sys.argv[1:])
