"""What is pybreaker's own, beside what every library does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pybreaker
import pytest

from tests.client.panel_server import desired
from tests.client.watch.library import MINUTE, Broken, Library, Watched, broken, fine
from tests.client.watch.suite import Suite


class Pybreaker(Library):
    refused = pybreaker.CircuitBreakerError

    def make(self, *, failures: int, wait_s: float) -> Any:
        return pybreaker.CircuitBreaker(fail_max=failures, reset_timeout=wait_s)

    def call(self, breaker: Any, func: Callable[[], Any]) -> Any:
        return breaker.call(func)

    def decorated(self, breaker: Any, func: Callable[[], Any]) -> Callable[[], Any]:
        return breaker(func)


class TestPybreaker(Suite):
    library = Pybreaker()


def trip(watched: Watched) -> None:
    for _ in range(watched.breaker.fail_max):
        with pytest.raises((Broken, pybreaker.CircuitBreakerError)):
            watched.breaker.call(broken)


@pytest.fixture
def watched(watch: Callable[[pybreaker.CircuitBreaker], Watched]) -> Watched:
    return watch(pybreaker.CircuitBreaker(fail_max=3, reset_timeout=MINUTE))


def test_a_trip_says_why_and_what_was_counted_up_to_it(watched: Watched) -> None:
    watched.breaker.call(fine)

    trip(watched)

    event = watched.server.event(to="open")
    assert event["reason"] == "failures"
    assert event["detail"] == "3 failures in a row, 3 allowed; the last: Broken"
    assert (event["metrics"]["calls"], event["metrics"]["failed"]) == (4, 3)
    assert event["metrics"]["failure_rate"] == 75.0


def test_a_move_by_the_services_own_hand_is_told_as_manual(watched: Watched) -> None:
    watched.breaker.open()
    watched.breaker.half_open()
    watched.breaker.open()
    watched.breaker.close()

    watched.server.event(to="closed")
    causes = [(e["to"], e["cause"]) for e in watched.server.events()]
    assert causes[0] == ("open", "manual")
    assert causes[1] == ("half_open", "manual")
    assert causes[3] == ("closed", "manual")


@pytest.mark.parametrize("natural", ["closed", "open", "half-open"])
def test_forced_open_refuses_calls_in_every_state_and_moves_none(
    watched: Watched, natural: str
) -> None:
    {
        "closed": watched.breaker.close,
        "open": watched.breaker.open,
        "half-open": watched.breaker.half_open,
    }[natural]()
    answer = watched.order("forced_open", reason="catalog is being moved")

    with pytest.raises(pybreaker.CircuitBreakerError, match="catalog is being moved"):
        watched.breaker.call(fine)

    assert answer["ok"] is True
    assert answer["state"] == "forced_open"
    assert answer["natural_state"] == natural.replace("-", "_")
    assert watched.breaker.current_state == natural
    assert watched.breaker.fail_counter == 0


def test_forced_open_is_obeyed_by_decorators_and_with_blocks(watched: Watched) -> None:
    decorated = watched.breaker(fine)
    watched.order("forced_open")

    with pytest.raises(pybreaker.CircuitBreakerError):
        decorated()
    with pytest.raises(pybreaker.CircuitBreakerError), watched.breaker.calling():
        raise AssertionError("the block must not run")


def test_forced_open_refuses_at_once_while_a_slow_call_holds_the_breaker(watched: Watched) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        inside.set()
        assert go_on.wait(10)

    thread = threading.Thread(target=watched.breaker.call, args=(slow,))
    thread.start()
    assert inside.wait(10)
    queued_ran, queued_errors = [], []

    def queue_up() -> None:
        try:
            watched.breaker.call(lambda: queued_ran.append(1))
        except pybreaker.CircuitBreakerError as error:
            queued_errors.append(error)

    queued = threading.Thread(target=queue_up)
    queued.start()

    assert watched.order("forced_open")["ok"] is True
    with pytest.raises(pybreaker.CircuitBreakerError):
        watched.breaker.call(fine)

    go_on.set()
    thread.join(10)
    queued.join(10)
    # Whether it was in time to queue behind the slow call or came later, it must not have run.
    assert (queued_ran, len(queued_errors)) == ([], 1)


def test_a_command_waits_for_a_slow_call_and_other_orders_do_not_wait_for_it(
    watched: Watched,
) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        inside.set()
        assert go_on.wait(10)

    thread = threading.Thread(target=watched.breaker.call, args=(slow,))
    thread.start()
    assert inside.wait(10)
    trip = {"id": "t", "command": "trip", "expires_in": 60}
    watched.session.send(**desired("catalog", 1, command=trip))

    other = watched.panel.watch(pybreaker.CircuitBreaker(), name="users")
    watched.server.session_with("users").send(**desired("users", 7, "forced_open"))
    watched.server.applied(7)
    with pytest.raises(pybreaker.CircuitBreakerError):
        other.call(fine)
    assert watched.session.of_type("applied")[-1]["revision"] == 7

    go_on.set()
    assert watched.server.applied(1)["state"] == "open"
    thread.join(10)


def test_a_command_that_never_finds_the_breaker_free_says_so(watched: Watched) -> None:
    with watched.breaker._lock:
        trip = {"id": "t", "command": "trip", "expires_in": 0.2}
        watched.session.send(**desired("catalog", 1, command=trip))
        answer = watched.server.applied(1)

    assert answer["ok"] is False
    assert "too late" in answer["error"]
    assert watched.breaker.current_state == "closed"


def test_a_breaker_that_another_tool_has_taken_over_obeys_all_the_same(watched: Watched) -> None:
    watched.order("forced_open")
    watched.breaker.call = lambda func, *a, **k: func(*a, **k)

    assert watched.order("forced_open")["ok"] is True
    with pytest.raises(pybreaker.CircuitBreakerError):
        watched.breaker.call(fine)


def test_a_breaker_that_does_not_obey_is_not_said_to(
    watch: Callable[[pybreaker.CircuitBreaker], Watched],
) -> None:
    class Stubborn(pybreaker.CircuitBreaker):
        @property
        def call(self) -> Any:  # type: ignore[override]
            return lambda func, *a, **k: func(*a, **k)

        @call.setter
        def call(self, _: Any) -> None: ...

    answer = watch(Stubborn()).order("forced_open")

    assert answer["ok"] is False
    assert "reads None" in answer["error"]


def test_a_subclass_with_a_call_of_its_own_keeps_it_and_obeys(
    watch: Callable[[pybreaker.CircuitBreaker], Watched],
) -> None:
    timed: list[str] = []

    class Timed(pybreaker.CircuitBreaker):
        def call(self, func: Any, *args: Any, **kwargs: Any) -> Any:
            timed.append(func.__name__)
            return super().call(func, *args, **kwargs)

    watched = watch(Timed())

    assert watched.breaker.call(fine) == "fine"
    assert timed == ["fine"]
    watched.order("forced_open")
    with pytest.raises(pybreaker.CircuitBreakerError):
        watched.breaker.call(fine)
    assert timed == ["fine"]


def test_the_services_own_listeners_hear_what_they_always_heard(
    watch: Callable[[pybreaker.CircuitBreaker], Watched],
) -> None:
    heard: list[str] = []

    class Listener(pybreaker.CircuitBreakerListener):
        def before_call(self, cb: Any, func: Any, *args: Any, **kwargs: Any) -> None:
            heard.append("before")

        def failure(self, cb: Any, exc: BaseException) -> None:
            heard.append("failure")

        def success(self, cb: Any) -> None:
            heard.append("success")

    watched = watch(pybreaker.CircuitBreaker(listeners=[Listener()]))
    watched.breaker.call(fine)
    watched.order("forced_closed")
    with pytest.raises(Broken):
        watched.breaker.call(broken)

    assert heard == ["before", "success", "before", "failure"]
