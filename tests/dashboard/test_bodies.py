"""What is sent to Django's paths is bounded in size and in time, as events are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from breakers import asgi
from breakers.asgi import BODY_MAX, Message, Receive, Scope, Send
from dashboard import bodies
from dashboard.bodies import bounded
from tests.support.web import Web

API, PAGE = "/api/v1/rules", "/login/"
JSON = "application/json"
LARGE = b"[" + b" " * BODY_MAX


async def in_pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 65_536):
        yield body[start : start + 65_536]


@pytest.mark.parametrize("path", [API, PAGE, "/nothing"])
async def test_a_body_that_says_it_is_too_large_is_refused(web: Web, path: str) -> None:
    answer = await web.http.post(path, content=LARGE, headers=web.bearer())

    assert answer.status_code == 413
    assert answer.headers["connection"] == "close"


async def test_a_body_that_turns_out_too_large_is_refused(web: Web) -> None:
    answer = await web.http.post(API, content=in_pieces(LARGE), headers=web.bearer())

    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == 413


async def test_a_caller_still_sending_reads_why_it_is_refused(web: Web) -> None:
    """A close on what nobody read would reset the connection, answer and all."""
    far_too_large = b" " * (16 * BODY_MAX)

    answers = [
        await web.http.post(path, content=body, headers=web.bearer() | {"content-type": JSON})
        for path in (API, "/api/v1/events")
        for body in (far_too_large, in_pieces(far_too_large))
    ]

    assert [answer.status_code for answer in answers] == [413] * 4


async def test_a_body_of_the_limit_is_taken_in(web: Web) -> None:
    whole = b"{}" + b" " * (BODY_MAX - 2)

    answers = [
        await web.http.post(API, content=body, headers=web.bearer())
        for body in (whole, in_pieces(whole))
    ]

    assert [answer.status_code for answer in answers] == [422, 422]
    assert answers[0].json()["errors"][0]["loc"] == ["name"]


@pytest.mark.parametrize("path", [API, PAGE])
async def test_a_body_that_stalls_is_given_up(
    web: Web, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asgi, "CHUNK_WITHIN_S", 0.05)
    reader, writer = await asyncio.open_connection(*web.host.split(":"))

    writer.write(f"POST {path} HTTP/1.1\r\nHost: {web.host}\r\nContent-Length: 9\r\n\r\n[".encode())
    told = await reader.read()

    writer.close()
    head, _, body = told.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408")
    assert (b"application/problem+json" in head) == (path == API)
    assert b"did not arrive in time" in body


async def test_a_get_and_a_head_are_served(web: Web) -> None:
    got = await web.http.get("/api/v1/version", headers=web.bearer())
    head = await web.http.head(PAGE)

    assert (got.status_code, head.status_code) == (200, 200)


async def test_the_application_still_hears_that_the_caller_has_gone() -> None:
    heard: list[Message] = []
    messages: list[Message] = [
        {"type": "http.request", "body": b"a", "more_body": True},
        {"type": "http.request", "body": b"b", "more_body": False},
        {"type": "http.disconnect"},
    ]

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        heard.extend([await receive(), await receive()])

    async def receive() -> Message:
        return messages.pop(0)

    async def send(message: Message) -> None:
        raise AssertionError("nothing is answered")

    await bounded(application)({"type": "http", "path": API, "headers": []}, receive, send)

    assert heard == [
        {"type": "http.request", "body": b"ab", "more_body": False},
        {"type": "http.disconnect"},
    ]


async def test_where_there_is_no_room_a_call_is_told_so_and_the_next_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bodies, "CALLS_MAX", 1)
    monkeypatch.setattr(bodies, "ROOM_WITHIN_S", 0.05)
    inside, go_on = asyncio.Event(), asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        inside.set()
        await go_on.wait()
        await asgi.answer(send, 200, b"{}")

    application = bounded(slow)

    async def call() -> Message:
        said: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            said.append(message)

        await application({"type": "http", "path": API, "headers": []}, receive, send)
        return said[0]

    first = asyncio.create_task(call())
    await inside.wait()
    second = await call()
    go_on.set()

    assert (second["status"], dict(second["headers"])[b"retry-after"]) == (503, b"2")
    assert (await first)["status"] == (await call())["status"] == 200
