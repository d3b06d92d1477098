"""What a watched breaker does, whatever its library: each library's tests derive from Suite."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from panelboard_client import Panel

from tests.client.watch.library import (
    AT_ONCE,
    MINUTE,
    Broken,
    Library,
    Watched,
    broken,
    fine,
    until_let_through,
)

Watch = Callable[[Any], Watched]


class Suite:
    library: Library

    @pytest.fixture(autouse=True)
    def started(self) -> Iterator[None]:
        self.library.start()
        yield
        self.library.stop()

    @pytest.fixture
    def watched(self, watch: Watch) -> Watched:
        return watch(self.library.make(failures=3, wait_s=MINUTE))

    @pytest.fixture
    def hasty(self, watch: Watch) -> Watched:
        """Open after one failure, and not for long."""
        return watch(self.library.make(failures=1, wait_s=AT_ONCE))

    def call(self, watched: Watched, func: Callable[[], Any]) -> Any:
        return self.library.call(watched.breaker, func)

    def fail(self, watched: Watched, times: int) -> None:
        for _ in range(times):
            with pytest.raises((Broken, self.library.refused)):
                self.call(watched, broken)

    def is_refused(self, watched: Watched) -> bool:
        ran: list[int] = []
        try:
            self.call(watched, lambda: ran.append(1))
        except self.library.refused:
            assert not ran
            return True
        return False

    # Seen.

    def test_watch_answers_the_same_object(self, make_panel: Callable[..., Panel]) -> None:
        breaker = self.library.make(failures=3, wait_s=MINUTE)

        assert make_panel().watch(breaker, name="catalog") is breaker

    def test_the_hello_says_what_it_is(self, watched: Watched) -> None:
        (told,) = watched.session.hello["breakers"]

        name, version = told["library"].split(" ")
        assert name == watched.entry.adapter.distribution
        assert version[0].isdigit()
        assert (told["state"], told["natural_state"]) == ("closed", "closed")
        assert told["config"]

    def test_a_trip_says_why_and_what_was_counted_up_to_it(self, watched: Watched) -> None:
        self.call(watched, fine)

        self.fail(watched, 3)

        event = watched.server.event(to="open")
        assert (event["from"], event["cause"], event["target"]) == (
            "closed",
            "automatic",
            "catalog",
        )
        assert event["natural_state"] == "open"
        assert event["reason"]
        assert event["detail"]
        assert (event["metrics"]["calls"], event["metrics"]["failed"]) == (4, 3)
        assert self.is_refused(watched)
        assert watched.told() == [("closed", "open", "automatic")]

    def test_an_open_breaker_says_when_its_probe_is_due(self, watched: Watched) -> None:
        began = time.time()
        self.fail(watched, 3)
        latest = time.time() + MINUTE

        def is_due(said: dict[str, Any]) -> bool:
            due = datetime.fromisoformat(said["probe_due_at"]).timestamp()
            # A library's clock may be coarser than ours.
            return began + MINUTE - 0.1 <= due <= latest + 0.1

        watched.entry.sample(time.monotonic())
        assert is_due(watched.server.event(to="open"))
        assert is_due(watched.server.event(type="snapshot"))
        assert is_due(watched.entry.describe())

        watched.order("forced_open")
        assert "probe_due_at" not in watched.server.event(to="forced_open")
        watched.order()
        assert is_due(watched.server.event(**{"from": "forced_open", "to": "open"}))

    def test_a_wait_that_the_panel_would_refuse_is_left_out(self, watch: Watch) -> None:
        watched = watch(self.library.make(failures=1, wait_s=2 * 86_400))

        self.fail(watched, 1)

        assert "probe_due_at" not in watched.server.event(to="open")

    def test_a_trip_names_the_failure_in_a_line_and_no_more_than_that(
        self, watched: Watched
    ) -> None:
        def times_out() -> None:
            raise TimeoutError("no answer from catalog:8080\n  within 3 s " + "x" * 10_000)

        for _ in range(3):
            with pytest.raises((TimeoutError, self.library.refused)):
                self.call(watched, times_out)

        said = watched.server.event(to="open")["detail"]
        assert "; the last: TimeoutError: no answer from catalog:8080 within 3 s xxx" in said
        assert len(said) < 300

    def test_an_exception_that_cannot_be_told_harms_no_call(self, watched: Watched) -> None:
        class Unspeakable(Exception):
            def __str__(self) -> str:
                raise RuntimeError("not even this")

        def fails() -> None:
            raise Unspeakable

        for _ in range(3):
            with pytest.raises((Unspeakable, self.library.refused)):
                self.call(watched, fails)

        assert watched.server.event(to="open")["detail"].endswith("; the last: Unspeakable")

    def test_a_recovery_is_told_step_by_step(self, hasty: Watched) -> None:
        self.fail(hasty, 1)

        assert until_let_through(lambda: self.call(hasty, fine), self.library.refused) == "fine"

        hasty.server.event(to="closed")
        assert hasty.told() == [
            ("closed", "open", "automatic"),
            ("open", "half_open", "automatic"),
            ("half_open", "closed", "automatic"),
        ]

    def test_a_trial_that_fails_opens_it_again(self, hasty: Watched) -> None:
        self.fail(hasty, 1)

        def failing_trial() -> None:
            ran: list[int] = []

            def fails() -> None:
                ran.append(1)
                raise Broken

            try:
                self.call(hasty, fails)
            except self.library.refused:
                if not ran:
                    raise
            except Broken:
                pass

        until_let_through(failing_trial, self.library.refused)

        event = hasty.server.event(**{"from": "half_open", "to": "open"})
        assert event["detail"] == "a trial call failed; the last: Broken"
        assert [to for _, to, _ in hasty.told()][:3] == ["open", "half_open", "open"]
        assert all(cause == "automatic" for _, _, cause in hasty.told())

    def test_calls_failures_and_refusals_are_counted_whoever_refuses(
        self, watched: Watched
    ) -> None:
        self.call(watched, fine)
        self.call(watched, fine)
        self.fail(watched, 3)
        assert watched.counts() == (5, 3, 0)

        for _ in range(4):
            assert self.is_refused(watched)
        assert watched.counts() == (5, 3, 4)

        watched.order("forced_open")
        for _ in range(2):
            assert self.is_refused(watched)
        assert watched.counts() == (5, 3, 6)

        watched.order("forced_closed")
        self.call(watched, fine)
        assert watched.counts() == (6, 3, 6)

    def test_a_trial_is_one_call(self, hasty: Watched) -> None:
        self.fail(hasty, 1)
        until_let_through(lambda: self.call(hasty, fine), self.library.refused)

        calls, failed, _ = hasty.counts()
        assert (calls, failed) == (2, 1)

    # Steered.

    def test_forced_open_refuses_with_the_librarys_own_exception(self, watched: Watched) -> None:
        answer = watched.order("forced_open", reason="catalog is being moved")

        assert (answer["ok"], answer["state"], answer["natural_state"]) == (
            True,
            "forced_open",
            "closed",
        )
        assert self.is_refused(watched)
        assert watched.counts() == (0, 0, 1)
        assert watched.order(None)["state"] == "closed"
        assert self.call(watched, fine) == "fine"
        assert watched.told() == [
            ("closed", "forced_open", "override"),
            ("forced_open", "closed", "override"),
        ]

    def test_forced_open_holds_past_the_librarys_own_wait(self, hasty: Watched) -> None:
        self.fail(hasty, 1)
        hasty.order("forced_open")
        over = time.monotonic() + AT_ONCE * 2

        while time.monotonic() < over:
            assert self.is_refused(hasty)
        assert self.is_refused(hasty)

    def test_decorated_functions_obey(self, watched: Watched) -> None:
        guarded = self.library.decorated(watched.breaker, fine)
        assert guarded() == "fine"

        watched.order("forced_open")
        with pytest.raises(self.library.refused):
            guarded()

        watched.order(None)
        self.fail(watched, 3)
        with pytest.raises(self.library.refused):
            guarded()
        watched.order("forced_closed")
        assert guarded() == "fine"

    def test_forced_closed_lets_calls_through_an_open_breaker_and_out_of_its_books(
        self, watched: Watched
    ) -> None:
        self.fail(watched, 3)
        answer = watched.order("forced_closed")

        assert (answer["ok"], answer["state"], answer["natural_state"]) == (
            True,
            "forced_closed",
            "open",
        )
        for _ in range(5):
            assert self.call(watched, fine) == "fine"
        assert watched.entry.adapter.natural() == "open"

    def test_forced_closed_gives_the_caller_the_functions_own_exception(
        self, watched: Watched
    ) -> None:
        watched.order("forced_closed")

        for _ in range(5):
            with pytest.raises(Broken):
                self.call(watched, broken)

        event = watched.server.event(natural_state="open")
        assert (event["from"], event["to"], event["cause"]) == (
            "forced_closed",
            "forced_closed",
            "automatic",
        )
        assert watched.counts() == (5, 5, 0)

    def test_under_forced_closed_the_breaker_behind_recovers_as_it_would(
        self, hasty: Watched
    ) -> None:
        self.fail(hasty, 1)
        hasty.order("forced_closed")
        deadline = time.monotonic() + 10
        while hasty.entry.adapter.natural() != "closed":
            assert self.call(hasty, fine) == "fine"
            assert time.monotonic() < deadline

        hasty.server.event(to="forced_closed", natural_state="closed")
        assert hasty.order(None)["state"] == "closed"
        assert self.call(hasty, fine) == "fine"

    def test_a_release_gives_the_breaker_back_to_its_library(self, watched: Watched) -> None:
        self.fail(watched, 3)
        watched.order("forced_closed")

        answer = watched.order(None)

        assert (answer["ok"], answer["state"]) == (True, "open")
        assert self.is_refused(watched)
        assert watched.server.event(cause="override", reason="released")["to"] == "open"

    def test_an_override_may_follow_another(self, watched: Watched) -> None:
        for mode in ("forced_open", "forced_closed", "forced_open"):
            answer = watched.order(mode)
            assert (answer["ok"], answer["state"]) == (True, mode)
            assert self.is_refused(watched) is (mode == "forced_open")

    def test_trip_opens_and_the_library_recovers_by_itself(self, hasty: Watched) -> None:
        answer = hasty.command("trip")

        assert answer["ok"] is True
        event = hasty.server.event(to="open")
        assert (event["cause"], event["detail"]) == ("manual", "trip")
        assert until_let_through(lambda: self.call(hasty, fine), self.library.refused) == "fine"
        assert hasty.entry.adapter.natural() == "closed"

    def test_trip_refuses_calls_meanwhile(self, watched: Watched) -> None:
        self.call(watched, fine)

        assert watched.command("trip")["state"] == "open"
        assert self.is_refused(watched)

    def test_reset_closes_and_clears_the_counters(self, watched: Watched) -> None:
        self.fail(watched, 2)
        assert watched.command("reset")["ok"] is True
        self.fail(watched, 2)
        assert watched.entry.adapter.natural() == "closed"

        self.fail(watched, 1)
        answer = watched.command("reset")
        assert (answer["ok"], answer["state"]) == (True, "closed")
        assert self.call(watched, fine) == "fine"
        assert watched.server.event(to="closed")["cause"] == "manual"

    def test_an_override_ends_in_the_guarded_call_itself_even_with_no_thread_to_end_it(
        self, watched: Watched
    ) -> None:
        watched.order("forced_open", expires_in=600)
        entry = watched.entry
        held = entry._force
        over = type(held)(held.mode, held.reason, time.monotonic() - 1)
        # The link's clock looks again only at the time that it was told first.
        entry.adapter._force = entry._force = over

        assert self.call(watched, fine) == "fine"

        event = watched.server.event(cause="override", reason="expired")
        assert (event["from"], event["to"]) == ("forced_open", "closed")

    # Harmless.

    def test_left_alone_it_behaves_as_its_unwatched_twin(
        self, make_panel: Callable[..., Panel]
    ) -> None:
        panel, numbers = make_panel(), itertools.count()

        def outcome(breaker: Any, func: Callable[[], Any]) -> Any:
            try:
                return self.library.call(breaker, func)
            except Exception as error:
                return type(error)

        @settings(max_examples=40, deadline=None)
        @given(st.lists(st.sampled_from([fine, broken]), max_size=15))
        def same(calls: list[Callable[[], Any]]) -> None:
            twin, ours = (self.library.make(failures=3, wait_s=MINUTE) for _ in range(2))
            panel.watch(ours, name=f"breaker {next(numbers)}")
            assert [outcome(ours, func) for func in calls] == [
                outcome(twin, func) for func in calls
            ]

        same()

    def test_after_close_the_breaker_is_as_its_library_made_it(self, watch: Watch) -> None:
        breaker = self.library.make(failures=3, wait_s=MINUTE)
        before = self.library.shape(breaker)
        watched = watch(breaker)
        self.call(watched, fine)
        watched.order("forced_open")

        watched.panel.close()

        assert self.library.call(breaker, fine) == "fine"
        assert self.library.shape(breaker) == before

    def test_errors_of_our_own_never_reach_a_guarded_call(self, watched: Watched) -> None:
        def refuse(**_: object) -> None:
            raise MemoryError

        watched.entry._emit = refuse

        self.fail(watched, 3)

        assert watched.entry.adapter.natural() == "open"
        assert watched.entry.faults >= 1

    def test_a_call_never_waits_for_the_links_thread(self, watched: Watched) -> None:
        """The thread stands still for as long as the calls last."""
        go_on = threading.Event()
        loop = watched.panel._link._loop  # type: ignore[union-attr]
        assert loop is not None
        loop.call_soon_threadsafe(go_on.wait, 30)
        try:
            self.call(watched, fine)
            self.fail(watched, 3)
            assert self.is_refused(watched)
        finally:
            go_on.set()
        watched.server.event(to="open")

    def test_many_threads_count_exactly_and_every_order_is_told_in_order(
        self, watched: Watched
    ) -> None:
        start = threading.Barrier(9)

        def work() -> None:
            start.wait()
            for _ in range(100):
                with contextlib.suppress(self.library.refused):
                    self.call(watched, fine)

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        start.wait()
        for mode in ("forced_open", None, "forced_closed", "forced_open", None):
            assert watched.order(mode)["ok"] is True
        for thread in threads:
            thread.join(30)

        calls, failed, refused = watched.counts()
        assert (calls + refused, failed) == (8 * 100, 0)
        assert [to for _, to, _ in watched.told()] == [
            "forced_open",
            "closed",
            "forced_closed",
            "forced_open",
            "closed",
        ]
