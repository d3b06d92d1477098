"""What is aiobreaker's own, beside what every library does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import aiobreaker
import pytest

from tests.client.watch.library import MINUTE, AsyncLibrary, Library, Watched, fine
from tests.client.watch.suite import Suite


class Aiobreaker(AsyncLibrary):
    refused = aiobreaker.CircuitBreakerError

    def make(self, *, failures: int, wait_s: float) -> Any:
        return aiobreaker.CircuitBreaker(
            fail_max=failures, timeout_duration=timedelta(seconds=wait_s)
        )

    async def acall(self, breaker: Any, func: Callable[[], Any]) -> Any:
        return await breaker.call_async(func)

    def adecorated(self, breaker: Any, func: Callable[[], Any]) -> Callable[[], Any]:
        return breaker(func)


class AiobreakerSync(Library):
    refused = aiobreaker.CircuitBreakerError
    make = Aiobreaker.make

    def call(self, breaker: Any, func: Callable[[], Any]) -> Any:
        return breaker.call(func)

    def decorated(self, breaker: Any, func: Callable[[], Any]) -> Callable[[], Any]:
        # It takes plain functions alone, and builtins it takes for arguments.
        return breaker(func)


class TestAiobreakerSync(Suite):
    library = AiobreakerSync()


class TestAiobreaker(Suite):
    library = Aiobreaker()

    def test_a_command_runs_on_the_loop_that_calls(self, watch: Callable[[Any], Watched]) -> None:
        where: list[Any] = []

        class Listener(aiobreaker.CircuitBreakerListener):
            def state_change(self, breaker: Any, old: Any, new: Any) -> None:
                where.append((threading.get_ident(), asyncio.get_running_loop()))

        breaker = self.library.make(failures=3, wait_s=MINUTE)
        breaker.add_listener(Listener())
        watched = watch(breaker)
        self.call(watched, fine)

        assert watched.command("trip")["state"] == "open"

        assert where == [(self.library.thread.ident, self.library.loop)]

    def test_a_command_waits_for_a_loop_that_is_busy(self, watched: Watched) -> None:
        self.call(watched, fine)
        go_on = threading.Event()
        busy = threading.Event()

        def block() -> None:
            busy.set()
            go_on.wait(10)

        self.library.loop.call_soon_threadsafe(block)
        assert busy.wait(10)
        late = {"id": "t", "command": "trip", "expires_in": 0.2}
        answer = watched.order(command=late)
        go_on.set()

        assert answer["ok"] is False
        assert "too late" in answer["error"]
        assert self.call(watched, fine) == "fine"

    def test_a_refusal_says_when_to_come_again(self, watched: Watched) -> None:
        watched.order("forced_open", expires_in=30, reason="catalog is being moved")

        with pytest.raises(self.library.refused) as refused:
            self.call(watched, fine)

        assert timedelta(seconds=20) < refused.value.time_remaining <= timedelta(seconds=30)
        assert "catalog is being moved" in refused.value.message
