"""What is interlock's own, beside what every library does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import interlock
import pytest

from tests.client.watch.library import MINUTE, AsyncLibrary, Broken, Library, Watched, fine, shape
from tests.client.watch.suite import Suite


class Interlock(Library):
    refused = interlock.CircuitOpenError

    def make(self, *, failures: int, wait_s: float, **more: Any) -> Any:
        config = interlock.Config(
            minimum_number_of_calls=failures,
            window_size=failures + 1,
            failure_rate_threshold=0.7,
            wait_duration_in_open=wait_s,
            permitted_calls_in_half_open=1,
        )
        return interlock.CircuitBreaker(name="catalog", config=config, **more)

    def call(self, breaker: Any, func: Callable[[], Any]) -> Any:
        return breaker.call(func)

    def decorated(self, breaker: Any, func: Callable[[], Any]) -> Callable[[], Any]:
        return breaker(func)

    def shape(self, breaker: Any) -> Any:
        return shape(breaker), shape(breaker._engine)


class InterlockAsync(AsyncLibrary, Interlock):
    async def acall(self, breaker: Any, func: Callable[[], Any]) -> Any:
        return await breaker.call(func)

    def adecorated(self, breaker: Any, func: Callable[[], Any]) -> Callable[[], Any]:
        return breaker(func)


class TestInterlock(Suite):
    library = Interlock()

    def test_a_with_block_is_counted_and_obeys(self, watched: Watched) -> None:
        with watched.breaker:
            pass
        assert watched.counts() == (1, 0, 0)
        watched.order("forced_open", reason="catalog is being moved")

        with pytest.raises(self.library.refused, match="catalog is being moved"), watched.breaker:
            raise AssertionError("the block must not run")

    def test_what_its_classifier_calls_failed_is_counted_as_failed(
        self, watch: Callable[[Any], Watched]
    ) -> None:
        class NoneIsFailure:
            def is_failure(self, *, result: object, exception: Exception | None) -> bool:
                return exception is not None or result is None

        watched = watch(self.library.make(failures=3, wait_s=MINUTE, classifier=NoneIsFailure()))
        self.call(watched, lambda: None)

        assert watched.counts() == (1, 1, 0)

    def test_a_trip_without_an_exception_names_none_that_is_in_hand(
        self, watch: Callable[[Any], Watched]
    ) -> None:
        class NoneIsFailure:
            def is_failure(self, *, result: object, exception: Exception | None) -> bool:
                return result is None

        watched = watch(self.library.make(failures=3, wait_s=MINUTE, classifier=NoneIsFailure()))
        try:
            raise Broken
        except Broken:
            for _ in range(3):
                self.call(watched, lambda: None)

        said = watched.server.event(to="open")["detail"]
        assert said == "of 3 calls 100% failed, 0% were slow"

    def test_the_services_own_listener_hears_on_while_an_override_stands(
        self, watch: Callable[[Any], Watched]
    ) -> None:
        heard: list[str] = []

        class Listener(interlock.CoreEventListener):
            def on_call(self, **_: object) -> None:
                heard.append("call")

            def on_rejected(self, **_: object) -> None:
                heard.append("rejected")

        watched = watch(self.library.make(failures=3, wait_s=MINUTE, listener=Listener()))
        watched.order("forced_open")
        assert self.is_refused(watched)
        watched.order("forced_closed")
        self.call(watched, fine)

        assert heard == ["rejected", "call"]

    def test_forced_closed_takes_no_part_in_the_librarys_trials(
        self, watch: Callable[[Any], Watched]
    ) -> None:
        watched = watch(self.library.make(failures=1, wait_s=0.001))
        self.fail(watched, 1)
        watched.order("forced_closed")
        inside, go_on = threading.Event(), threading.Event()

        def slow() -> None:
            inside.set()
            assert go_on.wait(10)

        eventually_half_open = watched.entry.adapter._would_admit
        while not eventually_half_open():
            pass
        trial = threading.Thread(target=self.call, args=(watched, slow))
        trial.start()
        assert inside.wait(10)

        assert self.call(watched, fine) == "fine"  # one trial at a time, and that one is slow
        assert watched.entry.adapter.natural() == "half_open"
        go_on.set()
        trial.join(10)
        assert watched.entry.adapter.natural() == "closed"

    def test_what_the_service_itself_forces_is_the_natural_state(self, watched: Watched) -> None:
        watched.breaker.disable()
        event = watched.server.event(to="forced_closed")
        assert (event["cause"], event["natural_state"]) == ("manual", "forced_closed")

        watched.breaker.force_open()
        watched.server.event(to="forced_open")
        assert self.is_refused(watched)
        watched.order("forced_closed")
        assert self.call(watched, fine) == "fine"
        watched.order(None)
        assert self.is_refused(watched)


class TestInterlockAsync(Suite):
    library = InterlockAsync()
