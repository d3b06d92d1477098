"""What a caller sees of HTTP itself: answers in one piece and in their order, whatever way the requests came."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from breakers.models import Event
from dashboard import sockets
from dashboard.sockets import HEAD_MAX
from tests.support.web import Web


class Caller:
    """One kept connection, by hand."""

    def __init__(self, web: Web) -> None:
        self._web = web

    async def __aenter__(self) -> Caller:
        self.reader, self.writer = await asyncio.open_connection(*self._web.host.split(":"))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()

    def request(self, method: str, path: str, body: bytes | None = None, *more: str) -> bytes:
        heads = [f"{method} {path} HTTP/1.1", f"Host: {self._web.host}", *more]
        heads += [f"{name}: {value}" for name, value in self._web.bearer().items()]
        if body is not None:
            heads += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        return "\r\n".join([*heads, "", ""]).encode() + (body or b"")

    async def answer(self) -> tuple[int, bytes]:
        """The next one; its status, and its body by the length that it says."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 30)
        status = int(head.split()[1])
        lengths = [
            int(line.partition(b":")[2])
            for line in head.lower().splitlines()
            if line.startswith(b"content-length")
        ]
        return status, await self.reader.readexactly(lengths[0] if lengths else 0)


def event(name: str) -> dict[str, Any]:
    return {"id": name, "service": "orders", "breaker": name, "to": "open"}


def events(*names: str) -> bytes:
    return json.dumps([event(name) for name in names]).encode()


async def test_an_answer_comes_in_one_piece(web: Web) -> None:
    async with Caller(web) as caller:
        for _ in range(20):
            caller.writer.write(caller.request("GET", "/healthz"))
            piece = await asyncio.wait_for(caller.reader.read(65_536), 30)
            assert piece.endswith(b'\r\n\r\n{"status":"ok"}')


async def test_what_has_no_body_is_answered_and_the_connection_goes_on(web: Web) -> None:
    async with Caller(web) as caller:
        caller.writer.write(caller.request("HEAD", "/login/"))
        head = await asyncio.wait_for(caller.reader.readuntil(b"\r\n\r\n"), 30)
        assert head.startswith(b"HTTP/1.1 200 ")

        caller.writer.write(caller.request("GET", "/healthz"))
        assert await caller.answer() == (200, b'{"status":"ok"}')


async def test_requests_sent_at_once_are_answered_in_their_order_each_with_its_own(
    web: Web,
) -> None:
    sent = [events("one"), events("two", "three"), b"[", events("four", "one")]
    async with Caller(web) as caller:
        # All in one segment: what follows has come when the first is looked at.
        caller.writer.write(
            b"".join(caller.request("POST", "/api/v1/events", body) for body in sent)
        )
        answers = [await caller.answer() for _ in sent]

    told = [(status, json.loads(body)) for status, body in answers]
    assert [status for status, _ in told] == [202, 202, 400, 202]
    counts = [(said.get("accepted"), said.get("duplicates")) for _, said in told]
    assert counts == [(1, 0), (2, 0), (None, None), (1, 1)]
    assert await Event.objects.acount() == 4


async def test_a_caller_that_waits_to_be_asked_for_the_body_is_asked(web: Web) -> None:
    async with Caller(web) as caller:
        body = events("one")
        whole = caller.request("POST", "/api/v1/events", body, "Expect: 100-continue")
        caller.writer.write(whole.removesuffix(body))
        asked = await asyncio.wait_for(caller.reader.readuntil(b"\r\n\r\n"), 30)
        assert asked.startswith(b"HTTP/1.1 100 ")

        caller.writer.write(body)
        status, told = await caller.answer()
        assert (status, json.loads(told)["accepted"]) == (202, 1)


@pytest.mark.parametrize("pieces", [1, 2, 7])
async def test_a_body_counts_once_however_it_comes(web: Web, pieces: int) -> None:
    async with Caller(web) as caller:
        whole = caller.request("POST", "/api/v1/rules", b'{"name": "a rule", "kind": "nothing"}')
        size = -(-len(whole) // pieces)
        for start in range(0, len(whole), size):
            caller.writer.write(whole[start : start + size])
            await asyncio.sleep(0)
        status, told = await caller.answer()

    assert status == 422
    assert json.loads(told)["errors"][0]["loc"] == ["kind"]


async def test_beyond_its_bound_a_connection_is_turned_away_and_those_that_are_there_go_on(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Caller(web) as first, Caller(web) as second:
        for caller in (first, second):
            caller.writer.write(caller.request("GET", "/healthz"))
            assert await caller.answer() == (200, b'{"status":"ok"}')
        connected = len(web.server.server_state.connections)
        monkeypatch.setattr(sockets, "connections_max", lambda: connected)

        async with Caller(web) as third:
            assert await third.answer() == (503, b"")
            assert await asyncio.wait_for(third.reader.read(), 30) == b""

        first.writer.write(first.request("GET", "/healthz"))
        assert await first.answer() == (200, b'{"status":"ok"}')
        second.writer.close()
        await second.writer.wait_closed()
        while len(web.server.server_state.connections) >= connected:
            await asyncio.sleep(0.005)
        async with Caller(web) as fourth:
            fourth.writer.write(fourth.request("GET", "/healthz"))
            assert await fourth.answer() == (200, b'{"status":"ok"}')


async def test_who_is_turned_away_with_a_body_hears_why(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "connections_max", lambda: 0)

    for _ in range(5):
        async with Caller(web) as caller:
            caller.writer.write(caller.request("POST", "/api/v1/events", b"[" + b" " * 200_000))
            assert await caller.answer() == (503, b"")
            assert await asyncio.wait_for(caller.reader.read(), 30) == b""


HALF = b"a" * (HEAD_MAX // 2)


@pytest.mark.parametrize(
    "head",
    {
        "one header without end": b"X-A: " + 2 * HALF,
        "headers without end": b"X-A: 1\r\n" * (HEAD_MAX // 8),
        "a whole head": b"X-A: " + HALF + b"\r\nX-B: " + HALF + b"\r\n\r\n",
    }.values(),
)
async def test_a_head_beyond_its_bound_is_refused(web: Web, head: bytes) -> None:
    async with Caller(web) as caller:
        caller.writer.write(caller.request("GET", "/healthz"))
        assert await caller.answer() == (200, b'{"status":"ok"}')

        caller.writer.write(b"GET /healthz HTTP/1.1\r\nHost: a\r\n" + head)

        assert await caller.answer() == (431, b"")
        assert await asyncio.wait_for(caller.reader.read(), 30) == b""


async def test_what_follows_a_body_in_chunks_has_the_same_bound(web: Web) -> None:
    async with Caller(web) as caller:
        whole = caller.request("POST", "/healthz", None, "Transfer-Encoding: chunked")
        caller.writer.write(whole)
        await caller.answer()

        caller.writer.write(b"0\r\nX-A: " + 2 * HALF + b"a")

        assert await caller.answer() == (431, b"")


async def test_bodies_and_many_requests_at_once_do_not_count_as_a_head(web: Web) -> None:
    body = b" " * (2 * HEAD_MAX) + events("one")
    async with Caller(web) as caller:
        request = caller.request("GET", "/healthz", None, "X-A: " + "a" * 1000)
        caller.writer.write(caller.request("POST", "/api/v1/events", body))
        caller.writer.write(request * 200)

        assert (await caller.answer())[0] == 202
        for _ in range(200):
            assert await caller.answer() == (200, b'{"status":"ok"}')


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nHo"])
async def test_a_connection_without_a_whole_head_is_closed(
    web: Web, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(sockets, "HEAD_WITHIN_S", 0.05)
    async with Caller(web) as caller:
        caller.writer.write(begun)

        assert await asyncio.wait_for(caller.reader.read(), 30) == b""


@pytest.mark.parametrize(
    "more", {"a head": b"GET / HT", "blank lines": b"\r\n", "a body": b"["}.values()
)
async def test_what_comes_after_an_answer_and_does_not_end_is_closed(
    web: Web, monkeypatch: pytest.MonkeyPatch, more: bytes
) -> None:
    async with Caller(web) as caller:
        length = "Content-Length: 9" if more == b"[" else "X-A: 1"
        caller.writer.write(caller.request("GET", "/healthz", None, length))
        assert (await caller.answer())[0] == 200

        monkeypatch.setattr(sockets, "HEAD_WITHIN_S", 0.05)
        caller.writer.write(more)

        assert await asyncio.wait_for(caller.reader.read(), 30) == b""


async def test_a_request_that_waits_for_its_body_or_is_a_socket_outlives_the_wait_for_a_head(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "HEAD_WITHIN_S", 0.05)
    body = events("one")
    async with Caller(web) as caller, web.socket("/live/v1") as socket:
        whole = caller.request("POST", "/api/v1/events", body)
        caller.writer.write(whole.removesuffix(body))
        async with Caller(web) as silent:  # begun later, and closed
            assert await asyncio.wait_for(silent.reader.read(), 30) == b""

        caller.writer.write(body)
        assert (await caller.answer())[0] == 202
        await asyncio.wait_for(await socket.ping(), 30)
