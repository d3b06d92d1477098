"""aiobreaker: see `_kin.py`. It has no lock, and belongs to the event loop that calls it.

So a command runs on that loop, between two of its callbacks, as the service's own hand would:
its listeners may reach for the running loop. Until the first call, nobody knows the loop, and
nobody is there to be in the way of.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any, Callable, List, Tuple

import aiobreaker  # type: ignore[import-untyped]
from aiobreaker.state import CircuitBreakerBaseState  # type: ignore[import-untyped]
from aiobreaker.storage.memory import CircuitMemoryStorage  # type: ignore[import-untyped]

from panelboard_client.adapter import Force
from panelboard_client.on_loop import OnLoop
from panelboard_client.watch._kin import ForcedClosed, KinAdapter
from panelboard_client.watched import Watched
from panelboard_client.wire import CLOSED, HALF_OPEN, OPEN

STATES = {
    aiobreaker.CircuitBreakerState.CLOSED: CLOSED,
    aiobreaker.CircuitBreakerState.OPEN: OPEN,
    aiobreaker.CircuitBreakerState.HALF_OPEN: HALF_OPEN,
}


def adapt(breaker: Any) -> AiobreakerAdapter:
    if not isinstance(breaker, aiobreaker.CircuitBreaker):
        raise TypeError(f"cannot watch {type(breaker).__qualname__}: not a CircuitBreaker")
    return AiobreakerAdapter(breaker)


class AiobreakerAdapter(KinAdapter):
    distribution = "aiobreaker"
    error = aiobreaker.CircuitBreakerError
    in_memory = CircuitMemoryStorage

    def attach(self, watched: Watched) -> None:
        self._loop = OnLoop()
        super().attach(watched)

    def state_of(self, state: Any) -> str:
        return STATES[state.state]

    def _dress(self, state: Any) -> None:
        super()._dress(state)
        if not self._loop.settled:
            state.before_call = self._settling(state, state.before_call)

    def _settling(self, state: Any, dressed: Callable[..., Any]) -> Callable[..., Any]:
        def before_call(*args: Any, **kwargs: Any) -> Any:
            self._loop.settle()
            state.before_call = dressed
            return dressed(*args, **kwargs)

        return before_call

    def gates(self) -> List[Tuple[Any, str, Any]]:
        breaker = self.breaker
        return [
            (breaker, "call", self._gated(breaker.call)),
            (breaker, "call_async", self._gated_async(breaker.call_async)),
        ]

    def refusal(self, force: Force) -> BaseException:
        # `reopen_time` is when to try again, by the library's clock, local and naive.
        left_s = self.wait_s() if force.until is None else force.until - time.monotonic()
        again = datetime.now() + timedelta(seconds=max(0.0, left_s))  # noqa: DTZ005
        refused: BaseException = aiobreaker.CircuitBreakerError(force.words, again)
        return refused

    def probe(self) -> None:
        self.breaker.call(lambda: None)

    def trip(self) -> bool:
        return self._loop.run(self.breaker.open)

    def reset(self) -> bool:
        return self._loop.run(self.breaker.close)

    def wait_s(self) -> float:
        return float(self.breaker.timeout_duration.total_seconds())

    def _gated(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        def call(func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            if _already_inside(func) or self.gate() is None:
                return plain(func, *args, **kwargs)
            return _ForcedClosed(self).call(func, *args, **kwargs)

        return call

    def _gated_async(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        async def call_async(func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            if _already_inside(func) or self.gate() is None:
                return await plain(func, *args, **kwargs)
            return await _ForcedClosed(self).call_async(func, *args, **kwargs)

        return call_async


def _already_inside(func: Any) -> bool:
    """A decorated function, which comes through here by itself."""
    return bool(getattr(func, "_ignore_on_call", False))


class _ForcedClosed(ForcedClosed, CircuitBreakerBaseState):  # type: ignore[misc]
    def __init__(self, adapter: AiobreakerAdapter) -> None:
        super().__init__(adapter.breaker, aiobreaker.CircuitBreakerState.CLOSED)
        self.adapter = adapter
