"""One web process's worth of the program, inside the test's own loop, on a real port and this worker's database."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx2
import uvicorn
from asgiref.sync import sync_to_async
from websockets.asyncio.client import ClientConnection, connect

from dashboard.asgi import Entrance
from dashboard.sockets import HttpProtocol, SocketProtocol
from tests.support.make import make_key


@dataclass
class Web:
    """A running server, a key with all scopes, and the few calls that tests make of it."""

    host: str
    key: str
    http: httpx2.AsyncClient
    entrance: Entrance
    server: uvicorn.Server

    async def post_events(self, *events: dict[str, Any], key: str | None = None) -> httpx2.Response:
        return await self.http.post("/api/v1/events", json=list(events), headers=self.bearer(key))

    async def get(self, path: str, **query: Any) -> Any:
        answer = await self.http.get(f"/api/v1/{path}", params=query, headers=self.bearer())
        answer.raise_for_status()
        return answer.json()

    async def breaker(self, service: str, breaker: str) -> dict[str, Any]:
        """The summary of the one breaker of this name."""
        found = (await self.get("breakers", service=service))["items"]
        [one] = [item for item in found if item["breaker"] == breaker]
        return dict(one)

    async def call(self, method: str, path: str, body: Any, **headers: str) -> httpx2.Response:
        return await self.http.request(
            method, f"/api/v1/{path}", json=body, headers=self.bearer() | headers
        )

    def bearer(self, key: str | None = None) -> dict[str, str]:
        return {"Authorization": f"Bearer {key or self.key}"}

    def socket(self, path: str, over: socket.socket | None = None, **headers: str) -> connect:
        """A WebSocket with the key, or with these headers instead; `over` a connected socket."""
        return connect(
            f"ws://{self.host}{path}",
            additional_headers=headers or self.bearer(),
            proxy=None,
            max_size=None,
            sock=over,
        )

    @contextlib.asynccontextmanager
    async def agent(self, *breakers: dict[str, Any], **hello: Any) -> AsyncIterator[Agent]:
        """An agent that has said hello and was welcomed."""
        async with self.socket("/agent/v1") as socket:
            agent = Agent(socket)
            await agent.hello(*breakers, **hello)
            yield agent


class Agent:
    """The other side of `/agent/v1`, by hand."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.welcome: dict[str, Any] = {}

    async def say(self, **frame: Any) -> None:
        await self.socket.send(json.dumps(frame))

    async def hear(self, kind: str) -> dict[str, Any]:
        """The next frame, which must be of this kind."""
        frame = json.loads(await asyncio.wait_for(self.socket.recv(), 30))
        assert frame["type"] == kind, frame
        return dict(frame)

    async def hello(self, *breakers: dict[str, Any], **hello: Any) -> None:
        said = {"service": "orders", "instance": "one", "boot": "b1", "environment": "prod"} | hello
        await self.say(type="hello", breakers=list(breakers), **said)
        self.welcome = await self.hear("welcome")

    async def events(self, *events: dict[str, Any], batch: int = 1) -> dict[str, Any]:
        await self.say(type="events", batch=batch, events=list(events))
        return await self.hear("ack")


class Watcher:
    """The other side of `/live/v1`: a board kept by snapshot and changes alone, checking versions."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.board: dict[str, dict[str, Any]] = {}
        self.version = -1
        self.incidents: list[dict[str, Any]] = []

    async def subscribe(self, **match: str) -> None:
        await self.socket.send(json.dumps({"type": "subscribe", "match": match}))

    async def take(self) -> str:
        """Takes in one frame; its type."""
        frame = json.loads(await asyncio.wait_for(self.socket.recv(), 30))
        if frame["type"] == "snapshot":
            if frame["part"] == 1:
                self.board = {}
            self.board |= {item["id"]: item for item in frame["breakers"]}
            self.version = frame["version"]
        elif frame["type"] == "changes":
            assert frame["version"] == self.version + 1, "a gap in versions"
            self.version = frame["version"]
            self.board |= {item["id"]: item for item in frame["changed"]}
            for id in frame["removed"]:
                self.board.pop(id, None)
        elif frame["type"] == "incident":
            self.incidents.append(frame["incident"])
        return str(frame["type"])

    async def until(self, seen: Any) -> None:
        """Takes frames until `seen(board)` holds."""
        while not seen(self.board):
            await self.take()


@contextlib.asynccontextmanager
async def serve() -> AsyncIterator[Web]:
    """Starts the server and stops it; the database is the worker's own."""
    listener = socket.create_server(("127.0.0.1", 0))
    host = f"127.0.0.1:{listener.getsockname()[1]}"
    entrance = Entrance()
    config = uvicorn.Config(
        entrance,
        log_config=None,
        lifespan="on",
        timeout_graceful_shutdown=2,
        http=HttpProtocol,
        ws=SocketProtocol,
        ws_max_size=2**20,
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started:
            assert not serving.done(), "the server did not start"
            await asyncio.sleep(0.005)
        _, key = await sync_to_async(make_key)(
            name="tests", scopes=["ingest", "agent", "read", "operate", "admin"]
        )
        async with httpx2.AsyncClient(
            base_url=f"http://{host}", trust_env=False, timeout=30
        ) as http:
            yield Web(host, key, http, entrance, server)
    finally:
        server.should_exit = True
        await serving
