"""Two web processes are one panel: what one takes in, the sockets and agents of the other are told."""

from __future__ import annotations

import http.client
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.faults.outage import processes
from tests.support.stack import Stack
from tests.support.web import Agent, Watcher

pytestmark = pytest.mark.xdist_group("faults")

TOLD_WITHIN_S = 3.0
"""I8 asks for one; the rest is for a machine that is shared."""


@contextmanager
def only(stack: Stack, name: str) -> Iterator[None]:
    """Within the block the other process stands still, so that new connections are this one's."""
    others = [pid for other, pid in processes(stack, "web").items() if other != name]
    for pid in others:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in others:
            os.kill(pid, signal.SIGCONT)


class Connection:
    """HTTP over one connection, and so with one process."""

    def __init__(self, stack: Stack, name: str) -> None:
        self._http = http.client.HTTPConnection(urlsplit(stack.url).netloc, timeout=10)
        self._headers = {
            "Authorization": f"Bearer {stack.key}",
            "Content-Type": "application/json",
        }
        with only(stack, name):
            assert self.call("GET", "/api/v1/version")

    def call(self, method: str, path: str, body: Any = None) -> Any:
        self._http.request(method, path, json.dumps(body), self._headers)
        answer = self._http.getresponse()
        told = answer.read()
        assert answer.status < 300, told
        assert not answer.will_close
        return json.loads(told)


async def open_socket(stack: Stack, name: str, path: str, last: AsyncExitStack) -> ClientConnection:
    with only(stack, name):
        return await last.enter_async_context(
            connect(
                f"{stack.ws_url}{path}",
                additional_headers={"Authorization": f"Bearer {stack.key}"},
                proxy=None,
            )
        )


@pytest.mark.parametrize(("one", "other"), [("web.1", "web.2"), ("web.2", "web.1")])
async def test_a_change_taken_by_one_is_seen_by_the_sockets_and_agents_of_the_other(
    broken_stack: Stack, one: str, other: str
) -> None:
    service = f"two-{uuid4().hex[:6]}"
    async with AsyncExitStack() as last:
        watcher = Watcher(await open_socket(broken_stack, other, "/live/v1", last))
        await watcher.subscribe(service=service)
        assert await watcher.take() == "snapshot"
        agent = Agent(await open_socket(broken_stack, other, "/agent/v1", last))
        await agent.hello({"breaker": "catalog", "state": "closed"}, service=service)
        await watcher.until(lambda board: len(board) == 1)
        [id] = watcher.board
        http = Connection(broken_stack, one)

        event = {
            "environment": "prod",
            "service": service,
            "breaker": "catalog",
            "instance": "two",
            "to": "open",
        }
        http.call("POST", "/api/v1/events", event)
        began = time.monotonic()

        await watcher.until(lambda board: board[id]["state"] == "open")
        assert time.monotonic() - began < TOLD_WITHIN_S

        http.call(
            "PUT",
            f"/api/v1/breakers/{id}/override",
            {"mode": "forced_closed", "reason": "from next door", "no_expiry": True},
        )
        began = time.monotonic()

        desired = await agent.hear("desired")
        assert time.monotonic() - began < TOLD_WITHIN_S
        assert (desired["mode"], desired["reason"]) == ("forced_closed", "from next door")
        await agent.say(
            type="applied",
            breaker="catalog",
            revision=desired["revision"],
            ok=True,
            state="forced_closed",
            natural_state="closed",
        )
        await watcher.until(
            lambda board: board[id]["override"] and board[id]["override"]["applied"] == 1
        )
        assert (
            watcher.board[id] == http.call("GET", f"/api/v1/breakers?service={service}")["items"][0]
        )
