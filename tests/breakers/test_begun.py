"""What is taken up before it is waited for: as if it had been awaited, but that one knows whether it has to be."""

from __future__ import annotations

import asyncio

import pytest

from breakers.begun import Begun


async def test_what_is_there_needs_no_waiting() -> None:
    async def at_hand() -> int:
        return 3

    begun = Begun(at_hand())

    assert begun.is_done
    assert begun.result == 3


async def test_what_fails_at_once_says_so_at_once() -> None:
    async def broken() -> int:
        raise LookupError

    with pytest.raises(LookupError):
        Begun(broken())


async def test_what_has_to_be_waited_for_is_waited_for() -> None:
    first, second = asyncio.Event(), asyncio.Event()

    async def in_two_steps() -> str:
        await first.wait()
        await second.wait()
        return "both"

    begun = Begun(in_two_steps())
    assert not begun.is_done
    loop = asyncio.get_running_loop()
    loop.call_soon(first.set)
    loop.call_soon(second.set)

    assert await begun == "both"


async def test_a_bare_future_will_do() -> None:
    future = asyncio.get_running_loop().create_future()
    begun = Begun(future)
    assert not begun.is_done
    asyncio.get_running_loop().call_soon(future.set_result, 4)

    assert await begun == 4


async def test_a_timer_ends_it_and_it_may_clear_up() -> None:
    cleared = []

    async def for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleared.append(True)

    begun = Begun(for_ever())

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await begun
    assert cleared == [True]


async def test_what_fails_later_says_so_to_who_waits() -> None:
    async def broken() -> None:
        await asyncio.sleep(0)
        raise LookupError

    begun = Begun(broken())
    assert not begun.is_done

    with pytest.raises(LookupError):
        await begun
