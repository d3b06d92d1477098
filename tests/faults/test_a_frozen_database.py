"""PostgreSQL stands still: it takes in what is sent, keeps no time-out of its own, and says nothing. Whoever
asks is told so in seconds, nothing is claimed that was not committed, and all is well once it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.faults.outage import frozen
from tests.support.eventually import aeventually
from tests.support.stack import Stack

pytestmark = pytest.mark.xdist_group("faults")


@pytest.fixture
async def http(broken_stack: Stack) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(
        base_url=broken_stack.url,
        headers={"Authorization": f"Bearer {broken_stack.key}"},
        timeout=15,
        trust_env=False,
    ) as client:
        yield client


def event(service: str, **fields: Any) -> dict[str, Any]:
    return {"service": service, "breaker": "catalog", "to": "open"} | fields


HELLO = '{"type":"hello","service":"frozen","instance":"one","boot":"b1"}'
SUBSCRIBE = '{"type":"subscribe"}'


async def close_code(stack: Stack, path: str, first: str, **headers: str) -> int | None:
    """Whether its key is still believed or has to be looked up: by its first frame, the database is asked."""
    said = headers or {"Authorization": f"Bearer {stack.key}"}
    async with connect(f"{stack.ws_url}{path}", additional_headers=said, proxy=None) as socket:
        await socket.send(first)
        await asyncio.wait_for(socket.wait_closed(), 15)
        return socket.close_code


async def session_of(stack: Stack) -> dict[str, str]:
    """What the browser of somebody who has signed in sends."""
    async with httpx2.AsyncClient(base_url=stack.url, trust_env=False, timeout=30) as browser:
        await browser.get("/login/")
        token = browser.cookies["csrftoken"]
        form = {"username": "admin", "password": stack.admin_password, "csrfmiddlewaretoken": token}
        answer = await browser.post("/login/", data=form, headers={"Referer": f"{stack.url}/"})
        assert answer.status_code == 302, answer.text
        return {"Cookie": f"sessionid={browser.cookies['sessionid']}", "Origin": stack.url}


async def test_whoever_asks_is_told_in_seconds_and_what_was_not_committed_is_not_claimed(
    broken_stack: Stack, http: httpx2.AsyncClient
) -> None:
    service = f"frozen-{uuid4().hex[:6]}"
    browser = await session_of(broken_stack)
    numbers = range(20)
    before = await http.post("/api/v1/events", json=event(service, id="before"))
    assert before.status_code == 202

    with frozen(broken_stack, "postgres"):
        answers = asyncio.gather(
            *(http.post("/api/v1/events", json=event(service, id=f"e{n}")) for n in numbers)
        )
        codes = asyncio.gather(
            close_code(broken_stack, "/agent/v1", HELLO),
            close_code(broken_stack, "/live/v1", SUBSCRIBE),
            close_code(broken_stack, "/live/v1", SUBSCRIBE, **browser),
        )
        # Keys that no web process remembers are looked up.
        unknown = http.post("/api/v1/events", json=[], headers={"Authorization": "Bearer other"})
        refused = [*(await answers), await unknown, await http.get("/api/v1/version")]
        closed = await codes

    assert {answer.status_code for answer in refused} == {503}
    assert all(int(answer.headers["retry-after"]) > 0 for answer in refused)
    assert closed == [1013, 1013, 1013]

    # Sent again, as a sender does that was told 503: all are stored once, whatever became of them then.
    again = await http.post("/api/v1/events", json=[event(service, id=f"e{n}") for n in numbers])
    assert again.status_code == 202
    assert not again.json()["rejected"]
    [one] = (await http.get("/api/v1/breakers", params={"service": service})).json()["items"]
    path = f"/api/v1/breakers/{one['id']}/events"
    stored = (await http.get(path, params={"limit": 1000})).json()["items"]
    assert sorted(item["id"] for item in stored) == sorted(["before", *(f"e{n}" for n in numbers)])


async def pong(socket: ClientConnection) -> bool:
    await socket.send('{"type":"ping"}')
    try:
        return await asyncio.wait_for(socket.recv(), 0.5) == '{"type":"pong"}'
    except TimeoutError:
        return False


async def test_a_watcher_is_not_live_meanwhile_and_live_again_afterwards(
    broken_stack: Stack, http: httpx2.AsyncClient
) -> None:
    said = {"Authorization": f"Bearer {broken_stack.key}"}
    async with connect(
        f"{broken_stack.ws_url}/live/v1", additional_headers=said, proxy=None
    ) as socket:
        assert await aeventually(lambda: pong(socket))
        with frozen(broken_stack, "postgres"):

            async def silent() -> bool:
                return not await pong(socket)

            await aeventually(silent, within=15)

        await aeventually(lambda: pong(socket), within=15)
