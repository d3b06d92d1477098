"""What had left its instance before history was moved: it has no event, and is gone there too, whoever speaks first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from alerts.evaluate import evaluate_pending
from alerts.models import IncidentBreaker
from breakers.history.rebuild import rebuild
from breakers.models import BreakerInstance
from breakers.moving import bring
from tests.breakers.moving.test_moving import exported, imported, is_quiet
from tests.support.make import make_rule
from tests.support.web import Web

GONE, THERE = ({"breaker": name, "state": "open"} for name in ("gone", "there"))


@pytest.fixture
async def moved_out(web: Web, tmp_path: Path, restore_contents: Callable[[], None]) -> Path:
    """The history of an instance that has only one of its two breakers any more, and a database without it."""
    async with web.agent(GONE, THERE) as agent:
        await agent.hello(THERE)

    def move_out() -> Path:
        exported(tmp_path / "history.ndjson")
        restore_contents()
        make_rule(kind="opened", name="opened")
        return tmp_path / "history.ndjson"

    return await sync_to_async(move_out)()


async def instances(web: Web) -> dict[str, int]:
    return {one["breaker"]: one["instances"] for one in (await web.get("breakers"))["items"]}


async def fired() -> list[str]:
    await sync_to_async(evaluate_pending)()
    return [one async for one in IncidentBreaker.objects.values_list("breaker__name", flat=True)]


async def test_it_is_gone_once_the_agent_says_hello(web: Web, moved_out: Path) -> None:
    await sync_to_async(imported)(moved_out)
    async with web.agent(THERE):
        assert await instances(web) == {"gone": 0, "there": 1}
        assert await fired() == ["there"]
    await is_quiet(web)


async def test_it_is_gone_at_once_where_the_agent_has_said_hello_already(
    web: Web, moved_out: Path
) -> None:
    async with web.agent(THERE) as agent:
        await sync_to_async(imported)(moved_out)

        assert await instances(web) == {"gone": 0, "there": 1}
        now = timezone.now().isoformat()
        await agent.events({"breaker": "there", "to": "open", "seq": 9, "occurred_at": now})
        assert await fired() == ["there"]
        await agent.hello(THERE, GONE)
        assert await instances(web) == {"gone": 1, "there": 1}
    await is_quiet(web)


@pytest.mark.parametrize("derived", [False, True])
async def test_it_is_gone_also_where_the_import_was_broken_off_and_begun_again(
    web: Web, moved_out: Path, monkeypatch: pytest.MonkeyPatch, derived: bool
) -> None:
    def breaks_off(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    def begin() -> None:
        with monkeypatch.context() as broken:
            broken.setattr(bring, "_leave_unnamed", breaks_off)
            with pytest.raises(KeyboardInterrupt):
                imported(moved_out)
        assert not BreakerInstance.objects.filter(breaker__name="gone").exists()
        if derived:
            list(rebuild(write=True))

    async with web.agent(THERE):
        await sync_to_async(begin)()

        await sync_to_async(imported)(moved_out)
        assert await instances(web) == {"gone": 0, "there": 1}
    await is_quiet(web)


async def test_what_only_events_tell_of_stays_where_a_hello_names_nothing(
    web: Web, tmp_path: Path, restore_contents: Callable[[], None]
) -> None:
    async with web.agent() as agent:
        await agent.events({"breaker": "catalog", "to": "open", "seq": 1})

    def move_out() -> None:
        exported(tmp_path / "history.ndjson")
        restore_contents()

    await sync_to_async(move_out)()
    async with web.agent():
        await sync_to_async(imported)(tmp_path / "history.ndjson")

        assert (await web.breaker("orders", "catalog"))["instances"] == 1
    await is_quiet(web)
