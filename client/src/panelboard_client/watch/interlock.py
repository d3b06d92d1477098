"""interlock (the distribution `interlock-cb`): by its engine, which all its ways of calling share.

Listeners are the library's own door for this, but they are given at construction only, and
being called in each guarded call costs more than what is done here. Those of the service hear
what they always hear, and of refused calls under forced_open too: a dashboard that goes dark
because an operator has taken the breaker in hand looks like an outage.

While the service itself has forced, disabled or muted its breaker, that is the natural state.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any, Callable, Dict, List, Optional, Tuple

import interlock
from interlock._engine import Admission
from interlock._notify import notify
from interlock.state import State

from panelboard_client import failure
from panelboard_client.adapter import (
    BY_SERVICE,
    SHARED,
    Adapter,
    Force,
    Why,
    trial_failed,
    trials_succeeded,
    wait_over,
)
from panelboard_client.on_loop import OnLoop
from panelboard_client.watched import Watched
from panelboard_client.wire import CLOSED, FORCED_CLOSED, FORCED_OPEN, HALF_OPEN, OPEN

STATES = {
    State.CLOSED: CLOSED,
    State.OPEN: OPEN,
    State.HALF_OPEN: HALF_OPEN,
    State.FORCED_OPEN: FORCED_OPEN,
    State.DISABLED: FORCED_CLOSED,
    State.METRICS_ONLY: FORCED_CLOSED,
}
OFF_THE_BOOKS = Admission(generation=-1)
"""Of no era: what comes of such a call is told to listeners and moves nothing."""


def adapt(breaker: Any) -> InterlockAdapter:
    if not isinstance(breaker, interlock.CircuitBreaker):
        raise TypeError(f"cannot watch {type(breaker).__qualname__}: not a CircuitBreaker")
    return InterlockAdapter(breaker)


class InterlockAdapter(Adapter):
    distribution = "interlock-cb"

    def __init__(self, breaker: Any) -> None:
        super().__init__(breaker)
        self._engine = breaker._engine
        self._loop = OnLoop()

    def attach(self, watched: Watched) -> None:
        super().attach(watched)
        engine = self._engine
        self.shadow(engine, "_admit", self._counting(engine._admit))
        self.shadow(engine, "_admit_async", self._counting_async(engine._admit_async))
        self.shadow(engine, "_classifier", _Classifier(engine._classifier, self.failures.tick))
        self.shadow(engine, "_emit_transitions", self._telling(engine._emit_transitions))

    def natural(self) -> str:
        # Without the engine's lock: one reference, read once.
        return STATES[self._engine._effective_state_locked()]

    def probe_due_at(self) -> Optional[float]:
        engine, machine = self._engine, self._engine._machine
        if engine._shared_view is not None or machine.state is not State.OPEN:
            return None  # another process says when, by a clock of the store's
        end: float = machine._opened_at + machine._wait_duration()
        return time.time() + end - machine._clock.monotonic()

    def config(self) -> Dict[str, Any]:
        return {name: _plain(value) for name, value in asdict(self._engine._config).items()}

    def gates(self) -> List[Tuple[Any, str, Any]]:
        engine = self._engine
        return [
            (engine, "_admit", self._gated(engine._admit)),
            (engine, "_admit_async", self._gated_async(engine._admit_async)),
        ]

    def refusal(self, force: Force) -> BaseException:
        refused = interlock.CircuitOpenError(
            self.breaker.name, retry_after=None, last_failure=self._engine._last_failure
        )
        refused.args = (force.words,)
        return refused

    def probe(self) -> None:
        self._engine._admit()

    def trip(self) -> bool:
        engine = self._engine
        coordinator = engine._sync_coordinator or engine._async_coordinator

        def open_now() -> None:
            engine._override(engine._machine._open)
            if coordinator is not None:
                coordinator.notify_local_trip()

        if engine._async_coordinator is None:
            open_now()
            return True
        return self._loop.running and self._loop.run(open_now)

    def reset(self) -> bool:
        self.breaker.reset()
        return True

    # What runs in guarded calls.

    def _counting(self, plain: Callable[[], Any]) -> Callable[[], Any]:
        calls, refusals = self.calls.tick, self.refusals.tick

        def admit() -> Any:
            try:
                admission = plain()
            except interlock.CircuitOpenError:
                refusals()
                raise
            calls()
            return admission

        return admit

    def _counting_async(self, plain: Callable[[], Any]) -> Callable[[], Any]:
        calls, refusals = self.calls.tick, self.refusals.tick

        async def admit_async() -> Any:
            if not self._loop.settled:
                self._loop.settle()
            try:
                admission = await plain()
            except interlock.CircuitOpenError:
                refusals()
                raise
            calls()
            return admission

        return admit_async

    def _gated(self, plain: Callable[[], Any]) -> Callable[[], Any]:
        def admit() -> Any:
            if self._lets_the_library_judge():
                try:
                    return plain()
                except interlock.CircuitOpenError:
                    if self.standing() is None:
                        raise  # another call took the last trial, and nothing stands any more
            self.calls.tick()
            return OFF_THE_BOOKS

        return admit

    def _gated_async(self, plain: Callable[[], Any]) -> Callable[[], Any]:
        async def admit_async() -> Any:
            if self._lets_the_library_judge():
                try:
                    return await plain()
                except interlock.CircuitOpenError:
                    if self.standing() is None:
                        raise
            self.calls.tick()
            return OFF_THE_BOOKS

        return admit_async

    def _lets_the_library_judge(self) -> bool:
        """False: the call goes through against the library's will, and is not in its books."""
        try:
            force = self.gate()
        except interlock.CircuitOpenError:
            if not self.probing():
                notify(self._engine._listener, "on_rejected", name=self.breaker.name)
            raise
        return force is None or self._would_admit()

    def _would_admit(self) -> bool:
        engine, natural = self._engine, self._engine._effective_state_locked()
        if natural is State.HALF_OPEN:
            # Which calls are trials is the library's to say, and it says so by admitting them.
            machine, config = engine._machine, engine._config
            return bool(
                engine._shared_view is None
                and machine._probes_in_flight < config.max_concurrent_probes
                and machine._probes_admitted < config.permitted_calls_in_half_open
            )
        if natural is State.OPEN:
            return engine._machine.state is State.OPEN and engine._machine._wait_elapsed()
        return natural is not State.FORCED_OPEN

    def _telling(self, plain: Callable[..., None]) -> Callable[..., None]:
        adapter = self

        def emit_transitions(
            machine_before: Any, machine_after: Any, before: Any, after: Any
        ) -> None:
            if after is before and machine_after is machine_before:
                return  # as after most calls; the engine's own would do nothing either
            if after is not before:
                moves = (before, after, machine_before, machine_after)
                adapter._watched.look(adapter.reason(adapter._why, *moves))
            plain(machine_before, machine_after, before, after)

        return emit_transitions

    def _why(self, before: State, after: State, machine_before: State, machine: State) -> Why:
        """interlock does not say who moved it; by its own rules."""
        if machine is machine_before or before is not machine_before:
            return SHARED
        config = self._engine._config
        if after is State.HALF_OPEN:
            return wait_over(config.wait_duration_in_open)
        if before is State.HALF_OPEN and after is State.OPEN:
            return trial_failed(self._failure())
        if before is State.HALF_OPEN and after is State.CLOSED:
            return trials_succeeded(config.permitted_calls_in_half_open)
        if before is State.CLOSED and after is State.OPEN:
            seen = self._engine.snapshot()
            return Why(
                "automatic",
                "rate",
                f"of {seen.total_calls} calls {seen.failure_rate:.0%} failed, "
                f"{seen.slow_call_rate:.0%} were slow{failure.last(self._failure())}",
            )
        return BY_SERVICE

    def _failure(self) -> Optional[BaseException]:
        """The exception in hand, if the engine has taken it for a failure: a call may fail by its
        result too, or be slow, while the service is handling something else."""
        error = failure.in_hand()
        return error if error is self._engine._last_failure else None


class _Classifier:
    """Counts as failed what the service's own classifier calls so."""

    def __init__(self, plain: Any, tick: Callable[[], int]) -> None:
        self._plain, self._tick = plain.is_failure, tick

    def is_failure(self, *, result: object, exception: Any) -> bool:
        failed: bool = self._plain(result=result, exception=exception)
        if failed:
            self._tick()
        return failed


def _plain(value: Any) -> Any:
    return value if isinstance(value, (int, float, bool, type(None))) else str(value)
