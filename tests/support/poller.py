"""An agent without a socket, by hand, and what its tests wish of the panel."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2

from tests.support.eventually import aeventually
from tests.support.web import Web

CLOSED = {"breaker": "catalog", "state": "closed", "target": "catalog"}
FORCE = {"mode": "forced_open", "reason": "maintenance", "expires_in": 600}


@dataclass
class Poller:
    """An agent without a socket; remembers its cursor."""

    web: Web
    instance: str = "one"
    boot: str = "b1"
    key: str | None = None
    cursor: str | None = None

    async def say(self, *breakers: dict[str, Any], **more: Any) -> httpx2.Response:
        hello = {"type": "hello", "service": "orders", "environment": "prod"}
        hello |= {"instance": self.instance, "boot": self.boot, "breakers": list(breakers)}
        return await self.web.http.post(
            "/api/v1/agent/applied",
            json={"hello": hello, **more},
            headers=self.web.bearer(self.key),
        )

    async def hello(self, *breakers: dict[str, Any], **more: Any) -> dict[str, Any]:
        answer = await self.say(*breakers, **more)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def ask(self, **query: Any) -> httpx2.Response:
        asked = {"service": "orders", "environment": "prod", "instance": self.instance} | query
        return await self.web.http.get(
            "/api/v1/agent/desired",
            params=asked,
            headers=self.web.bearer(self.key),
            timeout=70,
        )

    async def all(self) -> list[dict[str, Any]]:
        return self._take(await self.ask())

    async def next(self, wait: float = 20) -> list[dict[str, Any]]:
        assert self.cursor is not None
        return self._take(await self.ask(after=self.cursor, wait=wait))

    def _take(self, answer: httpx2.Response) -> list[dict[str, Any]]:
        assert answer.status_code == 200, answer.text
        assert set(answer.json()) == {"desired", "cursor"}
        self.cursor = answer.json()["cursor"]
        return list(answer.json()["desired"])


@asynccontextmanager
async def waiting_call(poller: Poller) -> AsyncIterator[asyncio.Task[httpx2.Response]]:
    """A call that waits on the server for as long as the block."""
    waiters = poller.web.entrance.runtime.waiting._waiters
    before = len(waiters)
    call = asyncio.create_task(poller.ask(after=poller.cursor, wait=60))
    await aeventually(lambda: len(waiters) > before)
    try:
        yield call
    finally:
        call.cancel()


async def force(web: Web, **wish: Any) -> dict[str, Any]:
    id = (await web.breaker("orders", "catalog"))["id"]
    answer = await web.call("PUT", f"breakers/{id}/override", FORCE | wish)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def release(web: Web) -> None:
    id = (await web.breaker("orders", "catalog"))["id"]
    answer = await web.call("DELETE", f"breakers/{id}/override", {"reason": "over"})
    assert answer.status_code == 200, answer.text


async def applied(web: Web) -> int:
    return int((await web.breaker("orders", "catalog"))["override"]["applied"])
