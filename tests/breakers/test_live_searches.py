"""Watchers with searches of their own: the board is read for them together, and for nobody who has gone."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from breakers.live import board
from breakers.live.hub import Hub
from tests.breakers.test_live import event
from tests.support.eventually import aeventually
from tests.support.web import Watcher, Web


async def test_searches_of_many_are_read_together(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        await web.post_events(event(breaker=f"b{number}"))
    pages: list[int] = []
    read = board.read

    async def noting(*arguments: Any, after: int = 0, **more: Any) -> list[board.Row]:
        if "limit" in more:
            pages.append(after)
        return await read(*arguments, after=after, **more)

    monkeypatch.setattr("breakers.live.filling.PAGE", 2)
    monkeypatch.setattr(board, "read", noting)
    hub = web.entrance.runtime.hub
    async with contextlib.AsyncExitStack() as stack:
        watchers = [
            Watcher(await stack.enter_async_context(web.socket("/live/v1"))) for _ in range(20)
        ]
        async with hub._reading:
            for number, watcher in enumerate(watchers):
                await watcher.subscribe(q=f"b{number % 10}")
            await aeventually(lambda: _are_joining(hub, 10))
        for number, watcher in enumerate(watchers):
            await watcher.take()
            names = [one["breaker"] for one in watcher.board.values()]
            assert names == ([f"b{number % 10}"] if number % 10 < 5 else [])

    # Those that came before the first page, and at most those that came too late for it.
    assert pages.count(0) <= 2


async def _are_joining(hub: Hub, views: int) -> bool:
    return sum(view.joining > 0 for view in hub._views.values()) == views


async def test_nothing_is_read_for_who_asks_for_something_else_before_it_is_their_turn(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    await web.post_events(event())
    asked: list[str] = []
    read = board.read

    async def noting(*arguments: Any, **more: Any) -> list[board.Row]:
        if "limit" in more:
            asked.append(more["match"].target)
        return await read(*arguments, **more)

    monkeypatch.setattr(board, "read", noting)
    hub = web.entrance.runtime.hub
    async with web.socket("/live/v1") as socket:
        watcher = Watcher(socket)
        async with hub._reading:
            for number in range(20):
                await watcher.subscribe(target=f"t{number}")
            await aeventually(lambda: _is_wanted(hub, "t19"))
        await watcher.take()

    assert asked == ["t19"]


async def _is_wanted(hub: Hub, target: str) -> bool:
    return [view.chosen.match.target for view in hub._views.values()] == [target]


async def test_nothing_is_read_on_for_a_watcher_that_has_gone(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    await web.post_events(event())
    hub = web.entrance.runtime.hub
    async with hub._reading:
        async with web.socket("/live/v1") as socket:
            await Watcher(socket).subscribe(q="catalog")
            await aeventually(lambda: _are_joining(hub, 1))
        await aeventually(lambda: _are_joining(hub, 0))

        assert not hub._views
