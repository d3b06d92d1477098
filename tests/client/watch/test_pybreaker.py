"""What a service sees of a watched pybreaker breaker: its own library, obeying the board."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any

import pybreaker
import pytest
from panelboard_client import Panel

from tests.client.panel_server import PanelServer, Session, desired

MINUTE = 60.0


class Broken(Exception):
    """What the guarded function raises."""


def broken() -> None:
    raise Broken


def fine() -> str:
    return "fine"


class Watched:
    """A watched breaker and the session that steers it."""

    def __init__(
        self, server: PanelServer, panel: Panel, breaker: pybreaker.CircuitBreaker
    ) -> None:
        self.server = server
        self.panel = panel
        self.breaker = panel.watch(breaker, name="catalog", target="catalog")
        self.session: Session = server.session_with("catalog")
        self.revision = 0

    def order(self, mode: str | None = None, **more: Any) -> dict[str, Any]:
        """Orders it, and answers the `applied` to that."""
        self.revision += 1
        self.session.send(**desired("catalog", self.revision, mode, **more))
        return self.server.applied(self.revision)

    def command(self, command: str) -> dict[str, Any]:
        command_id = f"c{self.revision + 1}"
        return self.order(command={"id": command_id, "command": command, "expires_in": 60})

    def trip_by_failures(self) -> None:
        for _ in range(self.breaker.fail_max):
            with pytest.raises((Broken, pybreaker.CircuitBreakerError)):
                self.breaker.call(broken)

    def counts(self) -> tuple[int, int, int]:
        return tuple(self.panel._roster.all()[0].adapter.counts())


@pytest.fixture
def watch(
    server: PanelServer, make_panel: Callable[..., Panel]
) -> Callable[[pybreaker.CircuitBreaker], Watched]:
    return lambda breaker: Watched(server, make_panel(), breaker)


@pytest.fixture
def watched(watch: Callable[[pybreaker.CircuitBreaker], Watched]) -> Watched:
    return watch(pybreaker.CircuitBreaker(fail_max=3, reset_timeout=MINUTE))


def test_watch_answers_the_same_object(make_panel: Callable[..., Panel]) -> None:
    breaker = pybreaker.CircuitBreaker(name="catalog")

    assert make_panel().watch(breaker) is breaker


def test_a_trip_is_told_as_automatic_with_its_target_and_library(watched: Watched) -> None:
    watched.trip_by_failures()

    event = watched.server.event(to="open")
    assert (event["from"], event["cause"], event["target"]) == ("closed", "automatic", "catalog")
    assert event["library"].startswith("pybreaker ")
    assert event["natural_state"] == "open"


def test_a_trip_says_why_and_what_was_counted_up_to_it(watched: Watched) -> None:
    watched.breaker.call(fine)

    watched.trip_by_failures()

    event = watched.server.event(to="open")
    assert event["reason"] == "failures"
    assert event["detail"] == "3 failures in a row, 3 allowed"
    assert (event["metrics"]["calls"], event["metrics"]["failed"]) == (4, 3)
    assert event["metrics"]["failure_rate"] == 75.0


def test_a_recovery_is_told_step_by_step_as_automatic(
    watch: Callable[[pybreaker.CircuitBreaker], Watched],
) -> None:
    watched = watch(pybreaker.CircuitBreaker(fail_max=1, reset_timeout=0))
    watched.trip_by_failures()

    assert watched.breaker.call(fine) == "fine"

    watched.server.event(to="closed")
    told = [(e["from"], e["to"], e["cause"]) for e in watched.server.events()]
    assert told == [
        ("closed", "open", "automatic"),
        ("open", "half_open", "automatic"),
        ("half_open", "closed", "automatic"),
    ]
    assert [e["seq"] for e in watched.server.events()] == [1, 2, 3]


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


def test_forced_open_holds_past_the_reset_timeout(
    watch: Callable[[pybreaker.CircuitBreaker], Watched],
) -> None:
    watched = watch(pybreaker.CircuitBreaker(fail_max=1, reset_timeout=0))
    watched.trip_by_failures()
    watched.order("forced_open")

    with pytest.raises(pybreaker.CircuitBreakerError):
        watched.breaker.call(fine)

    assert watched.breaker.current_state == "open"


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


def test_forced_closed_lets_calls_through_an_open_breaker_and_keeps_its_state(
    watched: Watched,
) -> None:
    watched.trip_by_failures()
    answer = watched.order("forced_closed")

    assert watched.breaker.call(fine) == "fine"
    with watched.breaker.calling():
        pass

    assert (answer["ok"], answer["state"], answer["natural_state"]) == (
        True,
        "forced_closed",
        "open",
    )
    assert watched.breaker.current_state == "open"


def test_forced_closed_gives_the_caller_the_functions_own_exception(watched: Watched) -> None:
    watched.order("forced_closed")

    for _ in range(5):
        with pytest.raises(Broken):
            watched.breaker.call(broken)

    event = watched.server.event(natural_state="open")
    assert (event["from"], event["to"], event["cause"]) == (
        "forced_closed",
        "forced_closed",
        "automatic",
    )


def test_under_forced_closed_the_breaker_behind_recovers_as_it_would(
    watch: Callable[[pybreaker.CircuitBreaker], Watched],
) -> None:
    watched = watch(pybreaker.CircuitBreaker(fail_max=1, reset_timeout=0))
    watched.trip_by_failures()
    watched.order("forced_closed")

    watched.breaker.call(fine)

    assert watched.breaker.current_state == "closed"
    watched.server.event(to="forced_closed", natural_state="closed")
    watched.order(None)
    assert watched.breaker.call(fine) == "fine"


def test_a_release_gives_the_breaker_back_to_its_library(watched: Watched) -> None:
    watched.trip_by_failures()
    watched.order("forced_closed")

    answer = watched.order(None)

    assert (answer["ok"], answer["state"]) == (True, "open")
    with pytest.raises(pybreaker.CircuitBreakerError, match="still open"):
        watched.breaker.call(fine)
    assert watched.server.event(cause="override", reason="released")["to"] == "open"


def test_trip_opens_and_the_library_recovers_by_itself(
    watch: Callable[[pybreaker.CircuitBreaker], Watched],
) -> None:
    watched = watch(pybreaker.CircuitBreaker(reset_timeout=0))

    answer = watched.command("trip")

    assert (answer["ok"], answer["state"]) == (True, "open")
    event = watched.server.event(to="open")
    assert (event["cause"], event["detail"]) == ("manual", "trip")
    assert watched.breaker.call(fine) == "fine"
    assert watched.breaker.current_state == "closed"


def test_reset_closes_and_clears_the_counters(watched: Watched) -> None:
    for _ in range(2):
        with pytest.raises(Broken):
            watched.breaker.call(broken)

    assert watched.command("reset")["ok"] is True
    assert watched.breaker.fail_counter == 0

    watched.trip_by_failures()
    answer = watched.command("reset")
    assert (answer["state"], watched.breaker.current_state) == ("closed", "closed")


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


def test_calls_failures_and_refusals_are_counted_whoever_refuses(
    watch: Callable[[pybreaker.CircuitBreaker], Watched],
) -> None:
    watched = watch(pybreaker.CircuitBreaker(fail_max=3, reset_timeout=MINUTE))
    watched.breaker.call(fine)
    with watched.breaker.calling():
        pass
    watched.trip_by_failures()
    assert watched.counts() == (5, 3, 0)

    for _ in range(4):
        with pytest.raises(pybreaker.CircuitBreakerError):
            watched.breaker.call(fine)
    assert watched.counts() == (5, 3, 4)

    watched.order("forced_open")
    for _ in range(2):
        with pytest.raises(pybreaker.CircuitBreakerError):
            watched.breaker.call(fine)
    assert watched.counts() == (5, 3, 6)

    watched.order("forced_closed")
    watched.breaker.call(fine)
    assert watched.counts() == (6, 3, 6)


def test_a_trial_call_is_one_call(watch: Callable[[pybreaker.CircuitBreaker], Watched]) -> None:
    watched = watch(pybreaker.CircuitBreaker(fail_max=1, reset_timeout=0))
    watched.trip_by_failures()

    with pytest.raises(pybreaker.CircuitBreakerError):
        watched.breaker.call(broken)
    assert watched.counts() == (2, 2, 0)

    watched.breaker.call(fine)
    assert watched.counts() == (3, 2, 0)


def test_an_override_ends_in_the_guarded_call_itself_even_with_no_thread_to_end_it(
    watched: Watched,
) -> None:
    watched.order("forced_open", expires_in=600)
    entry = watched.panel._roster.all()[0]
    held = entry._force
    assert held is not None
    over = type(held)(held.mode, held.reason, time.monotonic() - 1)
    with entry._lock:  # the link's clock cannot come first
        entry._force = over
        entry.adapter.force(over)
        assert watched.breaker.call(fine) == "fine"

    event = watched.server.event(cause="override", reason="expired")
    assert (event["from"], event["to"]) == ("forced_open", "closed")


def test_a_breaker_that_another_tool_has_taken_over_is_not_said_to_obey(watched: Watched) -> None:
    plain = watched.breaker.call
    watched.breaker.call = lambda func, *a, **k: func(*a, **k)  # type: ignore[method-assign]

    answer = watched.order("forced_open")

    assert answer["ok"] is False
    assert "reads None" in answer["error"]
    watched.breaker.call = plain  # type: ignore[method-assign]


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


def test_a_shared_state_moved_by_another_process_is_told_as_shared(
    watch: Callable[[pybreaker.CircuitBreaker], Watched],
) -> None:
    class SharedStorage(pybreaker.CircuitMemoryStorage):
        """Stands for one in Redis: other processes write it."""

    storage = SharedStorage(pybreaker.STATE_CLOSED)
    watched = watch(pybreaker.CircuitBreaker(state_storage=storage, reset_timeout=MINUTE))

    pybreaker.CircuitBreaker(state_storage=storage).open()
    with pytest.raises(pybreaker.CircuitBreakerError):
        watched.breaker.call(fine)

    assert watched.server.event(to="open")["cause"] == "shared"


def test_after_close_the_breaker_is_as_its_library_made_it(watched: Watched) -> None:
    watched.order("forced_open")

    watched.panel.close()

    assert watched.breaker.call(fine) == "fine"
    for name in ("call", "call_async", "open", "half_open", "close", "_inc_counter"):
        assert name not in vars(watched.breaker)


def test_errors_of_our_own_never_reach_a_guarded_call(watched: Watched) -> None:
    entry = watched.panel._roster.all()[0]

    def refuse(**_: object) -> None:
        raise RuntimeError("no memory, say")

    entry._emit = refuse

    watched.trip_by_failures()

    assert watched.breaker.current_state == "open"
    assert entry.faults == 1


def test_many_threads_count_exactly_and_every_order_is_told_in_order(watched: Watched) -> None:
    start = threading.Barrier(9)

    def work() -> None:
        start.wait()
        for _ in range(300):
            with contextlib.suppress(pybreaker.CircuitBreakerError):
                watched.breaker.call(fine)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    start.wait()
    for mode in ("forced_open", None, "forced_closed", "forced_open", None):
        assert watched.order(mode)["ok"] is True
    for thread in threads:
        thread.join(30)

    calls, failed, refused = watched.counts()
    assert (calls + refused, failed) == (8 * 300, 0)
    assert watched.panel.flush(10)
    told = watched.server.events(type="state_change")
    assert [e["seq"] for e in told] == sorted(e["seq"] for e in told)
    assert [e["to"] for e in told] == [
        "forced_open",
        "closed",
        "forced_closed",
        "forced_open",
        "closed",
    ]
