from __future__ import annotations

import asyncio
from typing import Any, NoReturn

import psycopg
import pytest
from asgiref.sync import sync_to_async
from structlog.testing import capture_logs

from breakers.agents import hub
from breakers.db import Connection
from breakers.live import board
from breakers.live.view import View
from breakers.loops import cancel, for_ever
from tests.support.eventually import aeventually
from tests.support.make import make_breaker
from tests.support.web import Watcher, Web

CLOSED = {"breaker": "catalog", "state": "closed"}


def event(service: str, to: str) -> dict[str, Any]:
    return {"service": service, "breaker": "catalog", "environment": "prod", "to": to}


@pytest.mark.parametrize(
    ("problem", "level"),
    [(ZeroDivisionError(), "error"), (psycopg.OperationalError("gone"), "warning")],
)
async def test_a_loop_goes_on_whatever_a_step_raises(problem: Exception, level: str) -> None:
    steps = 0

    async def step() -> None:
        nonlocal steps
        steps += 1
        if steps == 1:
            raise problem

    loop: asyncio.Task[NoReturn]
    with capture_logs() as logs:
        loop = asyncio.create_task(for_ever(step, name="test", every_s=0.001))
        await aeventually(lambda: steps > 2)
        await cancel([loop])

    [line] = logs
    assert (line["loop"], line["log_level"]) == ("test", level)
    assert bool(line.get("exc_info")) == (level == "error")
    assert loop.cancelled()


@pytest.mark.parametrize("problem", [psycopg.OperationalError("it is closed"), None])
async def test_a_loop_ends_when_cancelled_whatever_becomes_of_its_step(
    problem: Exception | None,
) -> None:
    begun = asyncio.Event()

    async def step() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if problem is not None:
                raise problem from None

    loop = asyncio.create_task(for_ever(step, name="test", every_s=60))
    await begun.wait()

    await asyncio.wait_for(cancel([loop]), 30)

    assert loop.cancelled()


async def test_one_service_that_cannot_be_told_holds_up_no_other(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = hub._wishes
    async with web.agent(CLOSED, service="a-bad") as bad, web.agent(CLOSED, service="good") as good:
        guilty = next(
            id
            for id, sockets in web.entrance.runtime.agents._sockets.items()
            if any(one.session.hello and one.session.hello.service == "a-bad" for one in sockets)
        )

        async def faulty(connection: Connection, service: int, *, after: int) -> Any:
            if service == guilty:
                raise ZeroDivisionError
            return await plain(connection, service, after=after)

        monkeypatch.setattr(hub, "_wishes", faulty)
        for service in ("a-bad", "good"):
            one = await web.breaker(service, "catalog")
            wish = {"mode": "forced_open", "reason": "test", "expires_in": 60}
            await web.call("PUT", f"breakers/{one['id']}/override", wish)

        assert (await good.hear("desired"))["mode"] == "forced_open"
        monkeypatch.undo()
        assert (await bad.hear("desired"))["mode"] == "forced_open"


async def test_one_agent_that_cannot_be_told_says_hello_again_and_the_others_are_told(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    from breakers.agents.session import Session

    async with web.agent(CLOSED, instance="bad") as bad, web.agent(CLOSED, instance="good") as good:
        plain = Session.unsaid

        def faulty(self: Session, *wishes: Any, **more: Any) -> Any:
            assert self.hello is not None
            if self.hello.instance == "bad":
                raise ZeroDivisionError
            return plain(self, *wishes, **more)

        monkeypatch.setattr(Session, "unsaid", faulty)
        one = await web.breaker("orders", "catalog")
        wish = {"mode": "forced_open", "reason": "test", "expires_in": 60}
        await web.call("PUT", f"breakers/{one['id']}/override", wish)

        assert (await good.hear("desired"))["mode"] == "forced_open"
        await asyncio.wait_for(bad.socket.wait_closed(), 30)
        assert bad.socket.close_code == 1012


async def test_one_view_that_fails_starts_afresh_and_the_others_are_told(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    await web.post_events(event("orders", "closed"))
    plain = View.apply

    def faulty(self: View, read: Any) -> Any:
        if self.chosen.match.q:
            plain(self, read)
            raise ZeroDivisionError
        return plain(self, read)

    async with web.socket("/live/v1") as one, web.socket("/live/v1") as other:
        bad, good = Watcher(one), Watcher(other)
        await bad.subscribe(q="orders")
        await good.subscribe()
        for watcher in (bad, good):
            await watcher.take()
        monkeypatch.setattr(View, "apply", faulty)

        await web.post_events(event("orders", "open"))

        for watcher in (bad, good):
            await watcher.until(lambda board: [b["state"] for b in board.values()] == ["open"])


async def test_one_breaker_that_cannot_be_read_hides_no_other(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    guilty = await sync_to_async(make_breaker)("bad")
    await web.post_events(event("orders", "closed"))
    plain = board._row

    def faulty(found: Any) -> board.Row:
        if found["id"] == guilty.pk:
            raise ZeroDivisionError
        return plain(found)

    async with web.socket("/live/v1") as socket:
        watcher = Watcher(socket)
        await watcher.subscribe()
        await watcher.take()
        monkeypatch.setattr(board, "_row", faulty)
        web.entrance.runtime.hub.changed([guilty.pk])

        await web.post_events(event("orders", "open"))

        await watcher.until(
            lambda board: any(
                item["service"] == "orders" and item["state"] == "open" for item in board.values()
            )
        )
