"""What is purgatory's own, beside what every library does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from purgatory import AsyncCircuitBreakerFactory, SyncCircuitBreakerFactory
from purgatory.domain.model import OpenedState

from tests.client.watch.library import MINUTE, AsyncLibrary, Library, Watched, fine, shape
from tests.client.watch.suite import Suite


class Purgatory(Library):
    refused = OpenedState

    def make(self, *, failures: int, wait_s: float) -> Any:
        self.factory = SyncCircuitBreakerFactory()
        return self.factory.get_breaker("catalog", threshold=failures, ttl=wait_s)

    def call(self, breaker: Any, func: Callable[[], Any]) -> Any:
        with breaker:
            return func()

    def decorated(self, breaker: Any, func: Callable[[], Any]) -> Callable[[], Any]:
        return self.factory("catalog")(func)

    def shape(self, breaker: Any) -> Any:
        context = breaker.context
        return [shape(each) for each in (context, context._state, breaker)]


class PurgatoryAsync(AsyncLibrary):
    refused = OpenedState
    shape = Purgatory.shape

    def make(self, *, failures: int, wait_s: float) -> Any:
        self.factory = AsyncCircuitBreakerFactory()
        return self.run(self.factory.get_breaker("catalog", threshold=failures, ttl=wait_s))

    async def acall(self, breaker: Any, func: Callable[[], Any]) -> Any:
        async with breaker:
            return await func()

    def adecorated(self, breaker: Any, func: Callable[[], Any]) -> Callable[[], Any]:
        return self.factory("catalog")(func)


class TestPurgatory(Suite):
    library = Purgatory()

    def test_its_name_is_the_circuits(
        self, watch: Callable[[Any], Watched], make_panel: Any
    ) -> None:
        panel = make_panel()
        panel.watch(self.library.make(failures=3, wait_s=MINUTE))
        again = self.library.factory.get_breaker("catalog")

        panel.watch(again)  # the same circuit

        assert [entry.name for entry in panel._roster.all()] == ["catalog"]

    def test_the_services_own_listeners_hear_of_commands(self, watched: Watched) -> None:
        heard: list[Any] = []
        self.library.factory.add_listener(lambda *event: heard.append(event[:2]))

        watched.command("trip")

        assert heard == [("catalog", "state_changed")]

    def test_a_refusal_says_why(self, watched: Watched) -> None:
        watched.order("forced_open", reason="catalog is being moved")

        with pytest.raises(OpenedState, match="Forced open by Panelboard: catalog is being moved"):
            self.call(watched, fine)

    def test_a_factory_is_not_taken_for_a_breaker(self, make_panel: Any) -> None:
        with pytest.raises(TypeError, match="get_breaker"):
            make_panel().watch(SyncCircuitBreakerFactory(), name="catalog")


class TestPurgatoryAsync(Suite):
    library = PurgatoryAsync()
