"""Commands run on the service's own loop, between two of its callbacks, and once at most."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest
from panelboard_client.on_loop import OnLoop


async def in_thread(loop: OnLoop, act: object) -> bool:
    """As the link's thread calls it."""
    return await asyncio.to_thread(loop.run, act)


async def test_it_runs_on_the_loop_and_what_it_answers_is_awaited() -> None:
    loop, ran = OnLoop(), []

    async def act() -> None:
        await asyncio.sleep(0)
        ran.append(threading.get_ident())

    assert await in_thread(loop, act) is True
    assert ran == [threading.get_ident()]


async def test_what_it_raises_is_raised() -> None:
    loop = OnLoop()

    def act() -> None:
        raise KeyError("odd")

    with pytest.raises(KeyError, match="odd"):
        await in_thread(loop, act)


async def test_what_comes_too_late_never_runs() -> None:
    loop, ran, answers = OnLoop(), [], []
    thread = threading.Thread(target=lambda: answers.append(loop.run(lambda: ran.append(1))))

    thread.start()
    thread.join(10)  # and the loop stands still meanwhile

    assert answers == [False]
    for _ in range(5):
        await asyncio.sleep(0)
    assert ran == []


def test_without_a_loop_it_runs_here() -> None:
    loop, ran = OnLoop(), []

    async def act() -> None:
        ran.append(1)

    assert loop.run(lambda: ran.append(0)) is True
    assert loop.run(act) is True
    assert ran == [0, 1]


def test_what_needs_a_loop_does_not_run_without_one() -> None:
    loop, ended = OnLoop(), []

    async def act() -> None:
        await asyncio.sleep(0)
        ended.append(1)

    assert loop.run(act) is False
    assert ended == []


def test_a_loop_that_has_ended_is_none() -> None:
    async def born() -> OnLoop:
        return OnLoop()

    loop = asyncio.run(born())

    assert (loop.running, loop.run(lambda: None)) == (False, True)


async def test_the_parents_loop_is_none_of_a_forked_childs(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = OnLoop()
    assert loop.running

    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert not loop.running
