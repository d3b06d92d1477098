"""What is sent to Django's paths is bounded in size and in time, as events are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx2
import psycopg
import pytest
from django.conf import settings

from breakers import asgi
from breakers import bodies as held
from breakers.asgi import BODY_MAX, Message, Receive, Scope, Send
from dashboard import bodies
from dashboard.bodies import ACTING_MAX, READING_MAX, bounded
from dashboard.postgresql import base
from tests.support.eventually import aeventually
from tests.support.held import wait_for_a_lock
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


@pytest.fixture
def one_body(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, and who finds no room is told so soon."""
    monkeypatch.setattr(held, "BYTES_MAX", BODY_MAX)
    monkeypatch.setattr(held, "ROOM_WITHIN_S", 0.05)


@pytest.mark.parametrize("path", [API, PAGE])
@pytest.mark.usefixtures("one_body")
async def test_no_more_bytes_are_held_than_may_be_and_small_bodies_are_in_nobodys_way(
    path: str, web: Web
) -> None:
    whole = b"{}" + b" " * (BODY_MAX - 2)
    head = f"Host: {web.host}\r\nAuthorization: Bearer {web.key}\r\nContent-Length: {BODY_MAX}"
    reader, writer = await asyncio.open_connection(*web.host.split(":"))

    async def post(body: bytes | AsyncIterator[bytes]) -> httpx2.Response:
        return await web.http.post(path, content=body, headers=web.bearer())

    async def refused() -> httpx2.Response | None:
        answer = await post(whole)
        return answer if answer.status_code == 503 else None

    # Nobody knows yet whether its sender may say anything at all, and the last byte never comes.
    writer.write(f"POST {path} HTTP/1.1\r\n{head}\r\n\r\n".encode() + whole[:-1])
    told = await aeventually(refused)
    assert told is not None
    assert told.headers["retry-after"] == "2"
    assert (await post(in_pieces(whole))).status_code == 503
    small = [await post(b"{}"), await web.http.get(PAGE), await web.http.get("/healthz")]
    events = await web.post_events(
        *[{"service": "orders", "breaker": "catalog", "to": "closed", "detail": "x" * 200}] * 500
    )
    writer.write(whole[-1:])
    status = await reader.readline()

    writer.close()
    assert 503 not in [answer.status_code for answer in small]
    assert events.status_code == 202
    assert b" 503 " not in status
    await aeventually(lambda: _is_taken(post, whole))


async def _is_taken(post: Callable[[bytes], Awaitable[httpx2.Response]], body: bytes) -> bool:
    return (await post(body)).status_code != 503


async def test_room_is_had_in_the_order_of_coming_and_who_gave_up_takes_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(held, "BYTES_MAX", 3)
    bytes_ = held.Bodies()
    order: list[int] = []

    async def hold(count: int) -> None:
        with bytes_.share() as share:
            await share.take(count)
            order.append(count)

    with bytes_.share() as first:
        await first.take(2)
        gone, large, small = [asyncio.create_task(hold(count)) for count in (3, 2, 1)]
        await asyncio.sleep(0)
        assert order == []
        gone.cancel()
        await asyncio.wait([gone])
        first.keep(1)
        await asyncio.gather(large, small)

    assert order == [2, 1]
    await hold(3)


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

    scope: Scope = {"type": "http", "method": "POST", "path": API, "headers": []}
    await bounded(application)(scope, receive, send)

    assert heard == [
        {"type": "http.request", "body": b"ab", "more_body": False},
        {"type": "http.disconnect"},
    ]


class Crowd:
    """Calls to a bounded application that answers none of them before it is told to, or none of them whole."""

    def __init__(self, *, begins: bool = False) -> None:
        self._begins = begins
        self.inside: list[str] = []
        self.go_on = asyncio.Event()
        self._application = bounded(self._slow)

    async def _slow(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._begins:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        self.inside.append(scope["path"])
        await self.go_on.wait()
        if not self._begins:
            await asgi.answer(send, 200, b"{}")

    def come(self, method: str, *paths: str) -> list[asyncio.Task[Message]]:
        return [asyncio.create_task(self._call(method, path)) for path in paths]

    async def _call(self, method: str, path: str) -> Message:
        said: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            said.append(message)

        scope: Scope = {"type": "http", "method": method, "path": path, "headers": []}
        await self._application(scope, receive, send)
        return said[0]


async def statuses(calls: list[asyncio.Task[Message]]) -> list[int]:
    return [message["status"] for message in await asyncio.gather(*calls)]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "ROOM_WITHIN_S", 0.05)


@pytest.mark.usefixtures("impatient")
async def test_where_there_is_no_room_a_call_is_told_so_and_the_next_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bodies, "READING_ALIKE_MAX", 1)
    crowd = Crowd()

    first = crowd.come("GET", API)
    await aeventually(lambda: crowd.inside)
    [second] = await asyncio.gather(*crowd.come("GET", API))
    crowd.go_on.set()

    assert (second["status"], dict(second["headers"])[b"retry-after"]) == (503, b"2")
    assert await statuses(first) == await statuses(crowd.come("GET", API)) == [200]


@pytest.mark.usefixtures("impatient")
async def test_calls_that_are_alike_take_no_room_from_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bodies, "ALIKE_MAX", 2)
    crowd = Crowd()

    alike = crowd.come("PUT", *[API] * 5)
    assert (
        sorted(await asyncio.gather(*[_refused(call) for call in alike]))
        == [False] * 2 + [True] * 3
    )
    others = crowd.come("PUT", "/another") + crowd.come("GET", API)
    await aeventually(lambda: len(crowd.inside) == 4)
    crowd.go_on.set()

    assert await statuses(others) == [200, 200]
    assert await statuses(crowd.come("PUT", API)) == [200]


@pytest.mark.usefixtures("impatient")
async def test_calls_that_change_something_leave_room_for_those_that_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bodies, "ACTING_MAX", 2)
    crowd = Crowd()

    acting = crowd.come("POST", "/1", "/2", "/3")
    assert sorted(await asyncio.gather(*[_refused(call) for call in acting])) == [
        False,
        False,
        True,
    ]
    reading = crowd.come("GET", "/1", "/2", "/3")
    await aeventually(lambda: len(crowd.inside) == 5)
    crowd.go_on.set()

    assert await statuses(reading) == [200] * 3


@pytest.mark.usefixtures("impatient")
async def test_calls_that_read_leave_room_for_those_that_change_something_and_for_other_paths() -> (
    None
):
    crowd = Crowd()

    reading = crowd.come("GET", *[API] * 100)
    refused = await asyncio.gather(*[_refused(call) for call in reading])
    others = crowd.come("GET", "/1", "/2") + crowd.come("PUT", API, "/1")
    await aeventually(lambda: len(crowd.inside) == refused.count(False) + 4)
    everything = crowd.come("GET", *[f"/{number}" for number in range(100)])
    assert True in await asyncio.gather(*[_refused(call) for call in everything])
    others += crowd.come("PUT", "/2", "/3")
    await aeventually(lambda: "/3" in crowd.inside)
    crowd.go_on.set()

    assert await statuses(others) == [200] * 6


@pytest.mark.usefixtures("impatient")
async def test_an_answer_that_is_read_slowly_takes_no_room_from_those_that_are_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bodies, "MAKING_MAX", 1)
    monkeypatch.setattr(bodies, "READING_MAX", 12)
    crowd = Crowd(begins=True)

    exports = crowd.come("GET", *["/api/v1/audit/export"] * 9)
    refused = await asyncio.gather(*[_refused(call) for call in exports])
    pages = crowd.come("GET", *[PAGE] * 9)
    refused_pages = await asyncio.gather(*[_refused(call) for call in pages])
    crowd.go_on.set()

    assert (refused.count(False), refused_pages.count(False)) == (4, 8)


async def _refused(call: asyncio.Task[Message]) -> bool:
    """Whether it is, well before those that are inside are answered."""
    done, _ = await asyncio.wait([call], timeout=1)
    return bool(done) and call.result()["status"] == 503


async def test_whoever_waits_for_a_held_row_is_told_so_and_everybody_else_is_answered(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For real: somebody holds the row of one breaker, and more callers want to override it than have room."""
    monkeypatch.setattr(base, "LOCKED_MAX_MS", 500)
    wish = {"mode": "forced_open", "reason": "r", "expires_in": 60}
    await web.post_events(
        *[{"service": name, "breaker": "catalog", "to": "closed"} for name in ("held", "free")]
    )
    held, free = [(await web.breaker(name, "catalog"))["id"] for name in ("held", "free")]
    async with await psycopg.AsyncConnection.connect(settings.DATABASE_URL) as holder:
        await holder.execute("SELECT FROM breaker WHERE id = %s FOR UPDATE", [held])
        waiting = [
            asyncio.create_task(web.call("PUT", f"breakers/{held}/override", wish))
            for _ in range(ACTING_MAX + READING_MAX + 16)
        ]
        await wait_for_a_lock()
        others = [
            await web.call("PUT", f"breakers/{free}/override", wish),
            await web.http.get(f"/api/v1/breakers/{held}", headers=web.bearer()),
            await web.http.get(PAGE),
        ]
        assert not all(call.done() for call in waiting)
        answers = await asyncio.gather(*waiting)

    assert [answer.status_code for answer in others] == [200] * 3
    assert {answer.status_code for answer in answers} == {503}
    assert {answer.headers["retry-after"] for answer in answers} == {"2"}
    assert "Somebody else is changing this" in " ".join(
        answer.json()["detail"] for answer in answers
    )
    assert (await web.call("PUT", f"breakers/{held}/override", wish)).status_code == 200


async def test_whoever_reads_what_is_held_takes_no_room_from_an_override(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For real: more callers than have room want to read a table that somebody holds."""
    monkeypatch.setattr(base, "LOCKED_MAX_MS", 30_000)
    monkeypatch.setattr(bodies, "ROOM_WITHIN_S", 30)
    wish = {"mode": "forced_open", "reason": "r", "expires_in": 60}
    await web.post_events({"service": "orders", "breaker": "catalog", "to": "closed"})
    id = (await web.breaker("orders", "catalog"))["id"]
    async with await psycopg.AsyncConnection.connect(settings.DATABASE_OWNER_URL) as holder:
        await holder.execute("LOCK TABLE rule")
        reading = [
            asyncio.create_task(web.http.get(API, headers=web.bearer()))
            for _ in range(ACTING_MAX + READING_MAX)
        ]
        await wait_for_a_lock()
        others = [
            await web.call("PUT", f"breakers/{id}/override", wish),
            await web.http.get(f"/api/v1/breakers/{id}", headers=web.bearer()),
            await web.http.get(PAGE),
        ]
        assert not any(call.done() for call in reading)
    answers = await asyncio.gather(*reading)

    assert [answer.status_code for answer in others + answers] == [200] * (3 + len(answers))
