"""circuitbreaker: by the class of the one object, for `with` looks methods up there.

While it is not closed, or an override stands, a watched breaker's class is a subclass that tells
what happens and stands in the way; a closed one is left alone but for counting, at the end of
each call. The library has no lock, and so there is none here: the state is read, under the
watch's own lock, after each step that may have moved it.

Decorated functions ask `opened` and then, to refuse, `fallback_function`: a fallback takes the
place of the exception under forced_open too. A bare `with breaker:` is never refused by the
library itself, but is by a forced_open.
"""

from __future__ import annotations

import itertools
import sys
import time
from functools import lru_cache
from typing import Any, Dict, Optional

import circuitbreaker  # type: ignore[import-untyped]

from panelboard_client import failure
from panelboard_client.adapter import (
    BY_SERVICE,
    Adapter,
    Force,
    Why,
    failures_full,
    trial_failed,
    trials_succeeded,
    wait_over,
)
from panelboard_client.watched import Watched
from panelboard_client.wire import CLOSED, FORCED_CLOSED, FORCED_OPEN, HALF_OPEN, OPEN

Breaker = circuitbreaker.CircuitBreaker
CALL_FAILED = "_CircuitBreaker__call_failed"
AT_END_OF_CALL = Breaker.__exit__.__code__
LATE_SUCCESS = Why("automatic", "late_success", "a call from before the trip succeeded")


def adapt(breaker: Any) -> CircuitbreakerAdapter:
    if not isinstance(breaker, Breaker):
        raise TypeError(f"cannot watch {type(breaker).__qualname__}: not a CircuitBreaker")
    return CircuitbreakerAdapter(breaker)


class CircuitbreakerAdapter(Adapter):
    distribution = "circuitbreaker"

    def __init__(self, breaker: Any) -> None:
        super().__init__(breaker)
        self._plain: Any = type(breaker)
        self._alert = _alert(self._plain)  # type: ignore[arg-type]
        self._alerted = False
        self._fallback_reads = itertools.count()

    def attach(self, watched: Watched) -> None:
        super().attach(watched)
        breaker = self.breaker
        breaker._panelboard = self
        failed, succeeded = getattr(breaker, CALL_FAILED), breaker.reset
        self.shadow(breaker, CALL_FAILED, self._counting_failures(failed))
        self._resets = self._forgetting(succeeded), self._closing(succeeded)
        breaker.reset = self._resets[False]
        self.mind()

    def detach(self) -> None:
        self._force = self.due = None
        self._alerted = False
        # `_panelboard` stays behind, idle: a call that is in the middle of our methods at this
        # moment still reads it.
        if type(self.breaker) is self._alert:
            self.breaker.__class__ = self._plain
        if self.breaker.reset in (*self._resets, self.calls.tick):
            del self.breaker.reset
        self._put_back(self._shadows)

    def natural(self) -> str:
        state: str = self.breaker.state  # pure: half_open is what the clock makes of open
        return state

    def config(self) -> Dict[str, Any]:
        breaker = self.breaker
        return {
            "failure_threshold": breaker._failure_threshold,
            "recovery_timeout": breaker._recovery_timeout,
        }

    def refusal(self, force: Force) -> BaseException:
        refused: BaseException = circuitbreaker.CircuitBreakerError(self.breaker)
        return refused

    def probe(self) -> None:
        if self.breaker.opened:
            self.breaker.call(lambda: None)

    def force(self, force: Optional[Force]) -> None:
        self._force = force
        self.mind()

    def forced(self) -> Optional[str]:
        force = self._force
        if force is None or type(self.breaker) is not self._alert:
            return None
        return force.mode if force.mode == FORCED_CLOSED or self._refuses() else None

    def trip(self) -> bool:
        breaker = self.breaker
        # The library has no hand for it; so as if the failures were full, or a failed trial
        # would not open it again.
        breaker._failure_count = max(breaker._failure_count, breaker._failure_threshold)
        breaker._opened = time.monotonic()
        breaker._state = circuitbreaker.STATE_OPEN
        self._watched.look(BY_SERVICE)
        return True

    def reset(self) -> bool:
        self.breaker.reset()
        return True

    def look(self) -> None:
        self._watched.look(wait_over(self.breaker._recovery_timeout))

    def mind(self) -> None:
        breaker, natural = self.breaker, self.natural()
        alerted = natural != CLOSED or self._force is not None
        if alerted != self._alerted:
            self._alerted = alerted
            breaker.reset = self._resets[alerted]
            breaker.__class__ = self._alert if alerted else self._plain
        self.due = breaker._opened + breaker._recovery_timeout if natural == OPEN else None

    # What runs in guarded calls.

    def _counting_failures(self, plain: Any) -> Any:
        def call_failed() -> None:
            self.calls.tick()
            self.failures.tick()
            before, breaker = self.natural(), self.breaker
            plain()
            if self.natural() == before == CLOSED:
                breaker.reset = self._resets[self._alerted]
                return
            self._watched.look(self.reason(self._why_open, before))

        return call_failed

    def _why_open(self, before: str) -> Why:
        error = failure.in_hand()
        if before == HALF_OPEN:
            return trial_failed(error)
        return failures_full(self.breaker.failure_count, self.breaker._failure_threshold, error)

    def _forgetting(self, plain: Any) -> Any:
        """For a closed breaker. The library resets itself after each call that did not fail:
        with no failure to forget, counting that is all there is to do, and is left to C code."""
        breaker, tick = self.breaker, self.calls.tick
        inherited = type(breaker).reset is Breaker.reset

        def reset() -> None:
            tick()
            plain()
            if inherited and not self._alerted:
                breaker.reset = tick
                if breaker._failure_count or self._alerted:  # by another thread, a moment ago
                    breaker.reset = self._resets[self._alerted]

        return reset

    def _closing(self, plain: Any) -> Any:
        """For one that is not."""

        def reset() -> None:
            by_hand = sys._getframe(1).f_code is not AT_END_OF_CALL
            before = self.natural()
            plain()
            if by_hand:
                self._watched.look(BY_SERVICE)
                return
            self.calls.tick()
            self._watched.look(trials_succeeded() if before == HALF_OPEN else LATE_SUCCESS)

        return reset

    def opened(self, plainly: bool) -> bool:
        """What a decorated function is told."""
        if self.due is not None and time.monotonic() >= self.due:
            self.look()
        force = self.standing()
        return plainly if force is None else force.mode == FORCED_OPEN

    def refused(self, fallback: Any) -> None:
        """The library reads its fallback to refuse: twice where there is one."""
        if fallback is None or next(self._fallback_reads) % 2:
            self.refusals.tick()

    def unasked(self) -> bool:
        """Whether a call has come through that the library itself would have refused."""
        force = self._force
        return force is not None and force.mode == FORCED_CLOSED and self.natural() == OPEN


@lru_cache(maxsize=None)
def _alert(plain: Any) -> Any:
    """What a breaker of this class is while more than counting is to be done."""

    class Alert(plain):  # type: ignore[misc]
        @property
        def opened(self) -> bool:
            adapter: CircuitbreakerAdapter = self._panelboard
            return adapter.opened(plain.opened.fget(self))

        @property
        def fallback_function(self) -> Any:
            fallback = plain.fallback_function.fget(self)
            self._panelboard.refused(fallback)
            return fallback

        def __enter__(self) -> Any:
            self._panelboard.gate()
            return plain.__enter__(self)

        def __exit__(self, kind: Any, error: Any, traceback: Any) -> Any:
            adapter: CircuitbreakerAdapter = self._panelboard
            if not adapter.unasked():
                return plain.__exit__(self, kind, error, traceback)
            adapter.calls.tick()
            if kind and self.is_failure(kind, error):
                adapter.failures.tick()
            return False

    # Reprs and logs name it as before.
    Alert.__name__, Alert.__qualname__ = plain.__name__, plain.__qualname__
    Alert.__module__ = plain.__module__
    return Alert
