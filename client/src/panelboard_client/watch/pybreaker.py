"""pybreaker: see `_kin.py`. Its lock is held for the whole of a guarded call.

The object stays what it was to everyone who holds it, and decorators and `with` blocks made
before obey too, as they look `call` up at each call. A bound `breaker.call` kept from before
does not wait in line for a forced_open, and obeys once it is its turn.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Tuple

import pybreaker

from panelboard_client.adapter import Force
from panelboard_client.watch._kin import ForcedClosed, KinAdapter
from panelboard_client.watched import Watched
from panelboard_client.wire import CLOSED, HALF_OPEN, OPEN

STATES = {
    pybreaker.STATE_CLOSED: CLOSED,
    pybreaker.STATE_OPEN: OPEN,
    pybreaker.STATE_HALF_OPEN: HALF_OPEN,
}
PATIENCE_S = 0.05
"""A command waits this long for the lock and is then tried again later, so that the link's
thread stays free for its other breakers."""


def adapt(breaker: Any) -> PybreakerAdapter:
    if not isinstance(breaker, pybreaker.CircuitBreaker):
        raise TypeError(f"cannot watch {type(breaker).__qualname__}: not a CircuitBreaker")
    return PybreakerAdapter(breaker)


class PybreakerAdapter(KinAdapter):
    distribution = "pybreaker"
    error = pybreaker.CircuitBreakerError
    in_memory = pybreaker.CircuitMemoryStorage

    def attach(self, watched: Watched) -> None:
        with self.breaker._lock:
            super().attach(watched)

    def state_of(self, state: Any) -> str:
        return STATES.get(state.name, CLOSED)

    def config(self) -> Dict[str, Any]:
        breaker = self.breaker
        return {
            "fail_max": breaker.fail_max,
            "reset_timeout": breaker.reset_timeout,
            "success_threshold": getattr(breaker, "success_threshold", 1),
        }

    def gates(self) -> List[Tuple[Any, str, Any]]:
        breaker = self.breaker
        return [
            (breaker, "call", self._gated(breaker.call)),
            (breaker, "call_async", self._gated_async(breaker.call_async)),
        ]

    def refusal(self, force: Force) -> BaseException:
        return pybreaker.CircuitBreakerError(force.words)

    def probe(self) -> None:
        self.breaker.call(lambda: None)

    def trip(self) -> bool:
        return self._when_free(self.breaker.open)

    def reset(self) -> bool:
        return self._when_free(self.breaker.close)

    def wait_s(self) -> float:
        return float(self.breaker.reset_timeout)

    def _when_free(self, act: Callable[[], object]) -> bool:
        lock = self.breaker._lock
        if not lock.acquire(timeout=PATIENCE_S):
            return False
        try:
            act()
        finally:
            lock.release()
        return True

    def _gated(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        adapter, lock = self, self.breaker._lock

        def call(func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            if adapter.gate() is None:  # before any lock: a slow call may hold it
                return plain(func, *args, **kwargs)
            with lock:
                if adapter.gate() is None:
                    return plain(func, *args, **kwargs)
                return _ForcedClosed(adapter).call(func, *args, **kwargs)

        return call

    def _gated_async(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        """As the library's own, which needs tornado; the caller gets a future here too."""

        def call_async(func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            from tornado import gen  # type: ignore[import-not-found, unused-ignore]

            @gen.coroutine  # type: ignore[untyped-decorator, unused-ignore]
            def gated() -> Any:
                if self.gate() is None:
                    return (yield plain(func, *args, **kwargs))
                return (yield _ForcedClosed(self).call_async(func, *args, **kwargs))

            return gated()

        return call_async


class _ForcedClosed(ForcedClosed, pybreaker.CircuitBreakerState):
    def __init__(self, adapter: PybreakerAdapter) -> None:
        super().__init__(adapter.breaker, pybreaker.STATE_CLOSED)
        self.adapter = adapter
