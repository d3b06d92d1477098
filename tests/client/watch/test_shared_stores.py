"""Breakers that share their state in Redis, by each library's own storage for it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import aiobreaker
import pybreaker
import pytest
import redis
from aiobreaker.storage.redis import CircuitRedisStorage
from interlock.integrations.redis import AsyncRedisStorage, RedisStorage
from purgatory import AsyncCircuitBreakerFactory, AsyncRedisUnitOfWork

from tests.client.watch.library import MINUTE, Library, Watched, fine
from tests.client.watch.suite import Suite
from tests.client.watch.test_aiobreaker import Aiobreaker
from tests.client.watch.test_interlock import Interlock, InterlockAsync
from tests.client.watch.test_purgatory import PurgatoryAsync
from tests.client.watch.test_pybreaker import Pybreaker


def connection() -> redis.Redis:
    return redis.Redis.from_url(os.environ["REDIS_URL"])


class PybreakerOnRedis(Pybreaker):
    def make_one_of_many(self, key: str, wait_s: float) -> Any:
        storage = pybreaker.CircuitRedisStorage("closed", connection(), namespace=key)
        return pybreaker.CircuitBreaker(fail_max=2, reset_timeout=wait_s, state_storage=storage)


class AiobreakerOnRedis(Aiobreaker):
    def make_one_of_many(self, key: str, wait_s: float) -> Any:
        closed = aiobreaker.CircuitBreakerState.CLOSED
        storage = CircuitRedisStorage(closed, connection(), namespace=key)
        return aiobreaker.CircuitBreaker(
            fail_max=2, timeout_duration=timedelta(seconds=wait_s), state_storage=storage
        )


class PurgatoryOnRedis(PurgatoryAsync):
    """Its decorator makes a context a call; a kept breaker goes by what it knew when it was got."""

    def make_one_of_many(self, key: str, wait_s: float) -> Any:
        factory = AsyncCircuitBreakerFactory(uow=AsyncRedisUnitOfWork(os.environ["REDIS_URL"]))
        breaker = self.run(factory.get_breaker(key, threshold=2, ttl=wait_s))
        breaker.factory = factory
        return breaker

    async def acall(self, breaker: Any, func: Callable[[], Any]) -> Any:
        async with await breaker.factory.get_breaker(breaker.context.name):
            return await func()


class InterlockOnRedis(Interlock):
    def make_one_of_many(self, key: str, wait_s: float) -> Any:
        storage = RedisStorage(connection(), key_prefix=key, poll_interval=0.02)
        return self.make(failures=2, wait_s=wait_s, storage=storage)


class InterlockAsyncOnRedis(InterlockAsync):
    def make_one_of_many(self, key: str, wait_s: float) -> Any:
        there = redis.asyncio.Redis.from_url(os.environ["REDIS_URL"])
        storage = AsyncRedisStorage(there, key_prefix=key, poll_interval=0.02)
        return self.make(failures=2, wait_s=wait_s, storage=storage)


class SharedSuite:
    library: Any

    started = Suite.started
    fail = Suite.fail
    is_refused = Suite.is_refused
    call = Suite.call

    @pytest.fixture
    def processes(self, started: None, watch: Callable[[Any], Watched]) -> Iterator[list[Watched]]:
        """Three that share one state, as far as each can tell."""
        key = f"test-{secrets.token_hex(8)}"
        made = [watch(self.library.make_one_of_many(key, MINUTE)) for _ in range(3)]
        for watched in made:
            assert self.call(watched, fine) == "fine"
        yield made
        for watched in made:
            close = getattr(watched.breaker, "aclose", None)
            if hasattr(self.library, "loop"):
                if close is not None:
                    self.library.run(close())
            elif close is not None:
                watched.breaker.close()

    def eventually_refused(self, watched: Watched) -> None:
        watched.server.wait_for(lambda: self.is_refused(watched), "the others' trip to be noticed")

    def test_a_trip_is_told_once_a_process_and_as_shared_by_all_but_one(
        self, processes: list[Watched]
    ) -> None:
        self.fail(processes[0], 3)
        for watched in processes * 2:
            self.eventually_refused(watched)

        for watched in processes:
            assert watched.panel.flush(10)
        told = processes[0].server.events(type="state_change")
        assert [event["to"] for event in told] == ["open"] * 3
        assert sorted(event["cause"] for event in told) == ["automatic", "shared", "shared"]

    def test_a_trip_by_the_panel_reaches_all(self, processes: list[Watched]) -> None:
        assert processes[0].command("trip")["ok"] is True

        for watched in processes:
            self.eventually_refused(watched)

    def test_an_override_is_each_processes_own_and_moves_no_shared_state(
        self, processes: list[Watched]
    ) -> None:
        answer = processes[0].order("forced_open")

        assert (answer["ok"], answer["natural_state"]) == (True, "closed")
        assert self.is_refused(processes[0])
        for watched in processes[1:]:
            assert self.call(watched, fine) == "fine"
        processes[0].order(None)
        assert self.call(processes[0], fine) == "fine"


class TestPybreakerOnRedis(SharedSuite):
    library: Library = PybreakerOnRedis()


class TestAiobreakerOnRedis(SharedSuite):
    library: Library = AiobreakerOnRedis()


class TestPurgatoryOnRedis(SharedSuite):
    library: Library = PurgatoryOnRedis()


class TestInterlockOnRedis(SharedSuite):
    library: Library = InterlockOnRedis()


class TestInterlockAsyncOnRedis(SharedSuite):
    library: Library = InterlockAsyncOnRedis()
