from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from dashboard import garbage
from tests.support.eventually import aeventually


class Knot:
    """Something that only the collector can free."""

    def __init__(self) -> None:
        self.itself = self


async def test_what_has_outlived_the_young_generations_is_collected_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(garbage, "_EVERY_S", 0.01)
    knot = Knot()
    gc.collect()  # old by now
    was_there = weakref.ref(knot)
    del knot

    async def is_gone() -> bool:
        return was_there() is None

    gc.disable()
    collecting = asyncio.create_task(garbage.collect_now_and_then())
    try:
        await aeventually(is_gone)
    finally:
        collecting.cancel()
        gc.enable()
