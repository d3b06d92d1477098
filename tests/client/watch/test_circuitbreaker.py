"""What is circuitbreaker's own, beside what every library does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import circuitbreaker
import pytest

from tests.client.watch.library import MINUTE, AsyncLibrary, Broken, Library, Watched, broken, fine
from tests.client.watch.suite import Suite


class Circuitbreaker(Library):
    refused = circuitbreaker.CircuitBreakerError

    def make(self, *, failures: int, wait_s: float) -> Any:
        return circuitbreaker.CircuitBreaker(
            failure_threshold=failures, recovery_timeout=wait_s, name="catalog"
        )

    def call(self, breaker: Any, func: Callable[[], Any]) -> Any:
        return breaker(func)()

    def decorated(self, breaker: Any, func: Callable[[], Any]) -> Callable[[], Any]:
        return breaker(func)


class CircuitbreakerAsync(AsyncLibrary, Circuitbreaker):
    async def acall(self, breaker: Any, func: Callable[[], Any]) -> Any:
        return await breaker(func)()

    def adecorated(self, breaker: Any, func: Callable[[], Any]) -> Callable[[], Any]:
        return breaker(func)


class TestCircuitbreaker(Suite):
    library = Circuitbreaker()

    def test_half_open_is_told_with_no_call_at_all(self, hasty: Watched) -> None:
        self.fail(hasty, 1)

        event = hasty.server.event(to="half_open")
        assert (event["from"], event["reason"]) == ("open", "wait_over")

    def test_a_fallback_takes_the_place_of_the_exception(
        self, watch: Callable[[Any], Watched]
    ) -> None:
        breaker = circuitbreaker.CircuitBreaker(
            failure_threshold=1,
            recovery_timeout=MINUTE,
            fallback_function=lambda: "the old price",
            name="catalog",
        )
        guarded = breaker(fine)
        watched = watch(breaker)
        watched.order("forced_open")

        assert [guarded() for _ in range(3)] == ["the old price"] * 3
        assert watched.counts() == (0, 0, 3)
        watched.order("forced_closed")
        assert guarded() == "fine"

    def test_a_with_block_obeys_forced_open(self, watched: Watched) -> None:
        watched.order("forced_open")

        with pytest.raises(self.library.refused), watched.breaker:
            raise AssertionError("the block must not run")

    def test_a_call_past_the_decorator_goes_through_while_open_as_the_library_has_it(
        self, watched: Watched
    ) -> None:
        """What docs/clients/python.md says of `cb.call(f)`, and of how to guard instead."""
        breaker = watched.breaker
        guarded = breaker(fine)
        self.fail(watched, 3)
        with pytest.raises(self.library.refused):
            guarded()

        assert breaker.call(fine) == "fine"

        assert not breaker.opened  # the success has closed it
        assert watched.server.event(to="closed")["from"] == "open"
        watched.order("forced_open")
        with pytest.raises(self.library.refused):
            breaker.call(fine)

    def test_a_generator_is_counted_and_obeys(self, watched: Watched) -> None:
        @watched.breaker
        def numbers() -> Any:
            yield 1
            yield 2

        assert list(numbers()) == [1, 2]
        assert watched.counts() == (1, 0, 0)
        watched.order("forced_open")
        with pytest.raises(self.library.refused):
            list(numbers())

    def test_a_success_from_before_the_trip_closes_it_as_the_library_has_it(
        self, watched: Watched
    ) -> None:
        with watched.breaker:
            self.fail(watched, 3)

        event = watched.server.event(to="closed")
        assert (event["from"], event["cause"], event["reason"]) == (
            "open",
            "automatic",
            "late_success",
        )

    def test_a_reset_by_hand_is_told_as_manual(self, watched: Watched) -> None:
        self.fail(watched, 3)

        watched.breaker.reset()

        assert watched.server.event(to="closed")["cause"] == "manual"

    def test_a_trial_after_a_trip_by_the_panel_opens_it_again_if_it_fails(
        self, watch: Callable[[Any], Watched]
    ) -> None:
        watched = watch(self.library.make(failures=3, wait_s=0.001))
        watched.command("trip")
        watched.server.event(to="half_open")

        with pytest.raises(Broken):
            self.call(watched, broken)

        watched.server.event(**{"from": "half_open", "to": "open"})

    def test_a_subclass_keeps_its_own_ways_and_its_name(
        self, watch: Callable[[Any], Watched]
    ) -> None:
        entered: list[str] = []

        class Mine(circuitbreaker.CircuitBreaker):
            FAILURE_THRESHOLD = 2

            def __enter__(self) -> Any:
                entered.append("in")
                return super().__enter__()

        watched = watch(Mine(name="catalog"))
        self.call(watched, fine)
        watched.order("forced_closed")
        self.call(watched, fine)

        assert entered == ["in", "in"]
        assert isinstance(watched.breaker, Mine)
        assert type(watched.breaker).__qualname__ == Mine.__qualname__


class TestCircuitbreakerAsync(Suite):
    library = CircuitbreakerAsync()
