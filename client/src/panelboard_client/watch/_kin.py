"""What pybreaker and aiobreaker, its fork for asyncio, have in common inside.

Both hold a state object that every call goes through, ask it at each call (`before_call`), and
make a new one whenever the state moves (`_create_new_state`), also where they find that another
process has moved a shared state. So each state object is dressed as it is made: it counts calls,
or refusals if it is the open one. Listeners would be called twice in each guarded call, which
costs a fifth of a trivial one, are told nothing of refusals, and cannot let a call through.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any, Callable, Dict, Optional

from panelboard_client import failure
from panelboard_client.adapter import (
    BY_SERVICE,
    SHARED,
    Adapter,
    Why,
    failures_full,
    trial_failed,
    trials_succeeded,
    wait_over,
)
from panelboard_client.watched import Watched
from panelboard_client.wire import CLOSED, HALF_OPEN, OPEN


class KinAdapter(Adapter):
    def __init__(self, breaker: Any) -> None:
        super().__init__(breaker)
        self._dressed: Optional[Any] = None
        self._moving = False

    # Where the two differ.

    error: Any = None
    """The library's exception."""
    in_memory: Any = None
    """The class of the storage that is no further than this process."""

    def state_of(self, state: Any) -> str:
        """A state object's state, in the protocol's words."""
        raise NotImplementedError

    def wait_s(self) -> float:
        raise NotImplementedError

    # The rest is the same.

    def attach(self, watched: Watched) -> None:
        super().attach(watched)
        breaker = self.breaker
        self.shadow(breaker, "_create_new_state", self._dressing(breaker._create_new_state))
        self.shadow(breaker, "open", self._moving_by(breaker.open, self._why_open))
        self.shadow(breaker, "half_open", self._moving_by(breaker.half_open, self._why_half))
        self.shadow(breaker, "close", self._moving_by(breaker.close, self._why_closed))
        self.shadow(breaker, "_inc_counter", self._counting(breaker._inc_counter))
        self._dress(breaker._state)

    def detach(self) -> None:
        super().detach()
        if self._dressed is not None:
            vars(self._dressed).pop("before_call", None)

    def natural(self) -> str:
        # Of the state object in use: no look into a storage that may be far away.
        return self.state_of(self._dressed)

    def time_is_up(self) -> bool:
        """Whether an open breaker's wait is over."""
        end = self._end_of_wait()
        return end is None or datetime.now(timezone.utc) >= end

    def probe_due_at(self) -> Optional[float]:
        if not isinstance(self.breaker._state_storage, self.in_memory):
            return None  # it may be far away
        end = self._end_of_wait()
        return None if end is None else end.timestamp()

    def _end_of_wait(self) -> Optional[datetime]:
        opened_at: Optional[datetime] = self.breaker._state_storage.opened_at
        if not opened_at:
            return None
        if opened_at.tzinfo is None:  # UTC, as aiobreaker keeps it, and pybreaker did before 1.1
            opened_at = opened_at.replace(tzinfo=timezone.utc)
        return opened_at + timedelta(seconds=self.wait_s())

    def config(self) -> Dict[str, Any]:
        return {"fail_max": self.breaker.fail_max, "wait_s": self.wait_s()}

    # What runs in guarded calls.

    def _dress(self, state: Any) -> None:
        self._dressed = state
        plain = state.before_call
        open_one = self.state_of(state) == OPEN
        state.before_call = self._refusing(state, plain) if open_one else self._admitting()

    def _admitting(self) -> Callable[..., None]:
        adapter, tick = self, self.calls.tick

        def before_call(*_: Any, **__: Any) -> None:
            # A call may have waited for the library's lock while an override came.
            if adapter._force is not None:
                adapter.gate()
            tick()

        return before_call

    def _refusing(self, state: Any, plain: Callable[..., Any]) -> Callable[..., Any]:
        adapter, error = self, self.error

        def before_call(*args: Any, **kwargs: Any) -> Any:
            try:
                return plain(*args, **kwargs)
            except error:
                # pybreaker makes the trial call in here, which the next state counts.
                if adapter._dressed is state:
                    adapter.refusals.tick()
                raise

        return before_call

    def _counting(self, plain: Callable[[], None]) -> Callable[[], None]:
        def inc_counter() -> None:
            self.failures.tick()
            plain()

        return inc_counter

    def _dressing(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        def create(*args: Any, **kwargs: Any) -> Any:
            state = plain(*args, **kwargs)
            self._dress(state)
            if not self._moving:
                self._watched.moved(self.state_of(state), SHARED)
            return state

        return create

    def _moving_by(self, plain: Callable[[], Any], why_so: Callable[[], Why]) -> Callable[[], Any]:
        """The library's own move, told once it is made."""

        def move() -> Any:
            why = self.reason(why_so)
            self._moving = True
            try:
                return plain()
            finally:
                self._moving = False
                self._watched.look(why)

        return move

    # The libraries do not say who moved them. By their own numbers: they open themselves when
    # the failures are full or a trial failed, half-open when their time is up, close after trials.

    def _why_open(self) -> Why:
        breaker, natural = self.breaker, self.natural()
        if natural == HALF_OPEN:
            return trial_failed(failure.in_hand())
        failures = breaker.fail_counter
        if natural == CLOSED and failures >= breaker.fail_max:
            return failures_full(failures, breaker.fail_max, failure.in_hand())
        return BY_SERVICE

    def _why_half(self) -> Why:
        return wait_over(self.wait_s()) if self.time_is_up() else BY_SERVICE

    def _why_closed(self) -> Why:
        if self.natural() != HALF_OPEN:
            return BY_SERVICE
        return trials_succeeded(getattr(self.breaker, "success_threshold", 1))


class ForcedClosed:
    """Mixed into a library's state class: lets every call through and keeps the library's books.

    The function's own exceptions reach the caller, and the breaker behind trips, waits and
    recovers as it would by itself, so that a release finds it right.
    """

    adapter: KinAdapter

    def before_call(self, *_: Any, **__: Any) -> None:
        adapter = self.adapter
        adapter.calls.tick()
        if adapter.natural() == OPEN and adapter.time_is_up():
            adapter.breaker.half_open()

    def on_success(self) -> None:
        breaker = self.adapter.breaker
        if self.adapter.natural() == HALF_OPEN:
            breaker.state.on_success()

    def on_failure(self, exc: BaseException) -> None:
        breaker, natural = self.adapter.breaker, self.adapter.natural()
        full = breaker.fail_counter >= breaker.fail_max
        if natural == HALF_OPEN or (natural == CLOSED and full):
            breaker.open()
