from __future__ import annotations

import asyncio
import contextlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from django.test import Client
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode

from alerts.evaluate import evaluate_pending
from breakers.live import frames
from breakers.live.match import Filter, Limits, Match
from breakers.live.view import BEHIND_MAX, Reader, View
from breakers.models import Person, Role
from dashboard.sockets import SocketProtocol
from tests.support.make import make_key, make_rule
from tests.support.web import Watcher, Web


def event(to: str = "open", **fields: Any) -> dict[str, Any]:
    return {"service": "orders", "breaker": "catalog", "environment": "prod", "to": to} | fields


async def test_a_snapshot_comes_first_and_then_each_change(web: Web) -> None:
    await web.post_events(event("closed"))
    async with web.socket("/live/v1") as socket:
        watcher = Watcher(socket)
        await watcher.subscribe()
        assert await watcher.take() == "snapshot"
        assert [item["state"] for item in watcher.board.values()] == ["closed"]

        await web.post_events(event("open"))

        assert await watcher.take() == "changes"
        assert [item["state"] for item in watcher.board.values()] == ["open"]


async def test_the_board_equals_the_api_word_for_word(web: Web) -> None:
    async with web.socket("/live/v1") as socket:
        watcher = Watcher(socket)
        await watcher.subscribe()
        for number in range(60):
            to = ("open", "half_open", "closed")[number % 3]
            await web.post_events(event(to, breaker=f"b{number % 7}", instance=f"i{number % 3}"))

        listed = {item["id"]: item for item in (await web.get("breakers"))["items"]}
        await watcher.until(lambda board: board == listed)


async def test_only_what_matches_is_told_and_what_leaves_is_removed(web: Web) -> None:
    await web.post_events(event("open"), event("closed", service="feed"))
    async with web.socket("/live/v1") as socket:
        watcher = Watcher(socket)
        await watcher.subscribe(state="open")
        await watcher.take()
        assert [item["service"] for item in watcher.board.values()] == ["orders"]

        await web.post_events(event("closed"))

        await watcher.until(lambda board: not board)


async def test_a_rate_that_nobody_renews_is_taken_back(web: Web) -> None:
    at = datetime.now(UTC) - timedelta(seconds=112)
    sample = {"type": "snapshot", "metrics": {"calls": 10, "failed": 5, "window": 10}}
    told = {name: value for name, value in event().items() if name != "to"} | sample
    await web.post_events(event("closed"), told | {"occurred_at": at.isoformat()})
    async with web.socket("/live/v1") as socket:
        watcher = Watcher(socket)
        await watcher.subscribe()
        assert await watcher.take() == "snapshot"
        assert [item["failure_rate"] for item in watcher.board.values()] == [50]

        assert await watcher.take() == "changes"

    [item] = watcher.board.values()
    assert (item["failure_rate"], item["calls_per_second"]) == (None, None)
    assert item == await web.breaker("orders", "catalog")


async def test_a_subscription_can_be_changed(web: Web) -> None:
    await web.post_events(event(), event(service="feed"))
    async with web.socket("/live/v1") as socket:
        watcher = Watcher(socket)
        await watcher.subscribe(service="feed")
        await watcher.take()

        await watcher.subscribe(service="orders")
        await watcher.until(
            lambda board: [item["service"] for item in board.values()] == ["orders"]
        )


async def test_a_change_that_no_message_told_of_is_found_in_the_database(web: Web) -> None:
    await web.post_events(event("closed"))
    async with web.socket("/live/v1") as socket:
        watcher = Watcher(socket)
        await watcher.subscribe()
        await watcher.take()

        def change() -> None:
            with connection.cursor() as cursor:
                cursor.execute(
                    "WITH said AS (INSERT INTO touched (breakers) SELECT array_agg(id) FROM breaker)"
                    " UPDATE breaker SET target = 'silent', change = change + 1"
                )

        await sync_to_async(change)()

        await asyncio.wait_for(
            watcher.until(lambda board: [b["target"] for b in board.values()] == ["silent"]), 4
        )


async def test_a_breaker_that_is_named_and_in_no_state_yet_is_told_too(web: Web) -> None:
    async with web.socket("/live/v1") as socket:
        watcher = Watcher(socket)
        await watcher.subscribe()
        await watcher.take()

        await web.post_events(event(type="note", to=None, detail="deployed"))

        await asyncio.wait_for(
            watcher.until(lambda board: [b["state"] for b in board.values()] == ["unknown"]), 4
        )


async def test_a_limited_key_sees_its_limits_alone(web: Web) -> None:
    _, key = await sync_to_async(make_key)(name="dev", scopes=["read"], environment="dev")
    await web.post_events(event(environment="dev"), event())
    async with web.socket("/live/v1", Authorization=f"Bearer {key}") as socket:
        watcher = Watcher(socket)
        await watcher.subscribe()
        await watcher.take()

    assert [item["environment"] for item in watcher.board.values()] == ["dev"]


async def test_of_an_incident_a_limited_key_is_told_its_own_breakers_alone(web: Web) -> None:
    _, key = await sync_to_async(make_key)(name="feed", scopes=["read"], services=["feed"])
    for service in ("orders", "feed"):
        await web.post_events(event("closed", service=service, target="catalog"))
    ids = {
        item["service"]: item["id"]
        for item in (await web.get("breakers", target="catalog"))["items"]
    }
    await sync_to_async(make_rule)()
    async with (
        web.socket("/live/v1") as whole,
        web.socket("/live/v1", Authorization=f"Bearer {key}") as limited,
    ):
        all_of_it, own = Watcher(whole), Watcher(limited)
        for watcher in (all_of_it, own):
            await watcher.subscribe()
            await watcher.take()
        for services in (["orders"], ["orders", "feed"]):
            for service in services:
                await web.post_events(event("open", service=service, target="catalog"))
            await sync_to_async(evaluate_pending)()

        await all_of_it.until(lambda _: len(all_of_it.incidents) == 2)
        await own.until(lambda _: own.incidents)

    assert [set(one["breakers"]) for one in all_of_it.incidents] == [
        {ids["orders"]},
        {ids["orders"], ids["feed"]},
    ]
    # Of the first, which was of “orders” alone, it was told nothing.
    assert [one["breakers"] for one in own.incidents] == [[ids["feed"]]]
    assert own.incidents[0]["summary"] == "feed/catalog opened in prod"
    assert all_of_it.incidents[1]["summary"].startswith("catalog: 2 breakers of 2 services")


async def test_a_slow_socket_gets_a_fresh_snapshot(web: Web) -> None:
    """More changes than may wait for one reader: what it gets next is the whole picture as it is."""
    await web.post_events(event())
    reader, view = Reader(), View(Filter(Match(), Limits()))
    reader.view = view
    for number in range(BEHIND_MAX + 5):
        reader.owe(json.dumps({"type": "changes", "version": number}))

    assert json.loads(await reader.next())["type"] == "snapshot"


async def test_a_socket_that_keeps_up_is_written_to_at_once(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, written = SocketProtocol.write_now, []

    def write_now(protocol: SocketProtocol, frame: bytes) -> bool:
        written.append(plain(protocol, frame))
        return written[-1]

    monkeypatch.setattr(SocketProtocol, "write_now", write_now)
    await web.post_events(event("closed"))
    async with web.socket("/live/v1") as socket:
        watcher = Watcher(socket)
        await watcher.subscribe()
        await watcher.take()
        await web.post_events(event("open"))

        assert await watcher.take() == "changes"

    assert [item["state"] for item in watcher.board.values()] == ["open"]
    assert written
    assert all(written)


async def test_a_frame_written_at_once_overtakes_none_that_is_under_way() -> None:
    written: list[bytes] = []

    def write_now(frame: bytes) -> bool:
        written.append(frame)
        return True

    reader = Reader(write_now)
    reader.owe_all("first", b"first")
    assert await reader.next() == "first"
    reader.owe_all("second", b"second")  # while the socket's task sends the first
    assert await reader.next() == "second"
    assert written == []

    at_rest = asyncio.create_task(reader.next())
    await asyncio.sleep(0)
    reader.owe_all("third", b"third")
    assert written == [b"third"]
    reader.owe("fourth")
    reader.owe_all("fifth", b"fifth")

    assert await at_rest == "fourth"
    assert await reader.next() == "fifth"
    assert written == [b"third"]


async def test_a_frame_that_cannot_be_written_at_once_is_owed() -> None:
    reader = Reader(lambda _: False)
    at_rest = asyncio.create_task(reader.next())
    await asyncio.sleep(0)

    reader.owe_all("a frame", b"a frame")

    assert await at_rest == "a frame"


@pytest.mark.parametrize("size", [0, 1, 125, 126, 2**16 - 1, 2**16])
def test_a_frame_is_on_the_wire_as_a_library_writes_it(size: int) -> None:
    text = "é" * (size // 2) + "e" * (size % 2)

    assert frames.on_the_wire(text) == Frame(Opcode.TEXT, text.encode()).serialize(mask=False)


async def test_a_ping_is_answered_while_the_database_is_in_sight(web: Web) -> None:
    async with web.socket("/live/v1") as socket:
        heard = None
        async with asyncio.timeout(30):
            # Before the server has first read the database there is no answer: windows, too, ask again.
            while heard is None:
                await socket.send('{"type":"ping"}')
                with contextlib.suppress(TimeoutError):
                    heard = await asyncio.wait_for(socket.recv(), 1)

    assert json.loads(heard) == {"type": "pong"}


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("nonsense", 4400),
        ('{"type":"rumour"}', 4400),
        ('{"type":"subscribe","match":{"state":"ajar"}}', 4400),
        ('{"type":"subscribe","match":{"q":"a\\u0000"}}', 4400),
        ('{"type":"subscribe","match":{"service":"\\u0000"}}', 4400),
    ],
)
async def test_what_is_not_understood_closes_the_socket(web: Web, frame: str, code: int) -> None:
    async with web.socket("/live/v1") as socket:
        await socket.send(frame)
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(socket.recv(), 30)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == code


async def test_without_key_or_session_the_socket_is_closed(web: Web) -> None:
    async with web.socket("/live/v1", Origin=f"http://{web.host}") as socket:
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(socket.recv(), 30)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4401


async def test_a_session_needs_our_own_origin(web: Web) -> None:
    headers = await sign_in(web)
    with pytest.raises(InvalidStatus) as refused:
        async with web.socket("/live/v1", **headers | {"Origin": "https://evil.example"}):
            pass

    assert refused.value.response.status_code == 403
    headers.pop("Origin")
    async with web.socket("/live/v1", **headers) as socket:
        assert await closed_with(socket) == 4401


async def sign_in(web: Web, *, role: str = "viewer") -> dict[str, str]:
    """The headers of a browser in which somebody has signed in."""

    def begin() -> str:
        person = Person.objects.create_person(
            username="grace", password="a password", role=Role(role)
        )
        client = Client()
        client.force_login(person)
        return str(client.cookies["sessionid"].value)

    cookie = await sync_to_async(begin)()
    return {"Cookie": f"theme=dark; sessionid={cookie}", "Origin": f"http://{web.host}"}


async def test_a_session_sees_the_board(web: Web) -> None:
    await web.post_events(event())
    async with web.socket("/live/v1", **await sign_in(web)) as socket:
        watcher = Watcher(socket)
        await watcher.subscribe()
        await watcher.take()

    assert [item["service"] for item in watcher.board.values()] == ["orders"]


async def closed_with(socket: ClientConnection) -> int:
    await asyncio.wait_for(socket.wait_closed(), 30)
    assert socket.close_code is not None
    return socket.close_code


@pytest.mark.parametrize(
    "change",
    [{"is_active": False}, {"password": "another"}, {"role": "admin"}],
    ids=["switched off", "password", "role"],
)
async def test_a_change_of_the_person_ends_the_socket_and_a_sign_out_of_it_all(
    web: Web, change: dict[str, Any]
) -> None:
    headers = await sign_in(web)
    async with web.socket("/live/v1", **headers) as socket:
        watcher = Watcher(socket)
        await watcher.subscribe()
        await watcher.take()
        await Person.objects.filter(username="grace").aupdate(**change)

        assert await closed_with(socket) == 4401
    if "role" not in change:
        async with web.socket("/live/v1", **headers) as socket:
            assert await closed_with(socket) == 4401


@pytest.mark.parametrize("cookie", ["", "nonsense", "a" * 32, "%00", "\xe9"])
async def test_a_cookie_of_no_session_is_told_by_code(web: Web, cookie: str) -> None:
    headers = {"Cookie": f"sessionid={cookie}", "Origin": f"http://{web.host}"}
    async with web.socket("/live/v1", **headers) as socket:
        assert await closed_with(socket) == 4401


@pytest.mark.parametrize("origin", ["https://{host}", "ftp://{host}", "http://{host}/", "null"])
async def test_an_origin_of_another_scheme_is_foreign(web: Web, origin: str) -> None:
    headers = await sign_in(web) | {"Origin": origin.format(host=web.host)}
    with pytest.raises(InvalidStatus) as refused:
        async with web.socket("/live/v1", **headers):
            pass

    assert refused.value.response.status_code == 403
