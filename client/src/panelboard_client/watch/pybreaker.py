"""pybreaker: told and steered by shadowing a few methods on the one breaker object.

pybreaker calls listeners in each guarded call, twice, which costs a fifth of a trivial call
(measured, see `benchmarks/sdk_overhead.py`), tells them nothing of refused calls, and gives
them no way to let a call through. So `call` is shadowed on the object itself by a body like
the library's own plus one addition, and the methods that only run when the state moves
(`open`, `half_open`, `close`) or a call fails (`_inc_counter`) are wrapped. The object stays
what it was to everyone who holds it, and decorators and `with` blocks made before obey too,
as they look `call` up at each call. A bound `breaker.call` kept from before does not.
"""

from __future__ import annotations

import itertools
import time
from datetime import datetime, timedelta, timezone
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Callable, Dict, Optional

import pybreaker

from panelboard_client.watched import BY_SERVICE, Counts, Force, Watched, Why
from panelboard_client.wire import CLOSED, FORCED_OPEN, HALF_OPEN, OPEN

STATES = {
    pybreaker.STATE_CLOSED: CLOSED,
    pybreaker.STATE_OPEN: OPEN,
    pybreaker.STATE_HALF_OPEN: HALF_OPEN,
}
PATIENCE_S = 0.05
"""pybreaker holds its lock for the whole of a guarded call; a command waits this long for it
and is then tried again later, so that the link's thread stays free for its other breakers."""


def adapt(breaker: Any) -> PybreakerAdapter:
    if not isinstance(breaker, pybreaker.CircuitBreaker):
        raise TypeError(f"cannot watch {type(breaker).__qualname__}: not a CircuitBreaker")
    return PybreakerAdapter(breaker)


class PybreakerAdapter:
    def __init__(self, breaker: pybreaker.CircuitBreaker) -> None:
        self.library = _library()
        self._breaker = breaker
        # These keep working on the original methods whatever is shadowed.
        self._lock = breaker._lock
        self._plain_call = breaker.call
        self._plain_call_async = breaker.call_async
        self._shadowed: Dict[str, Any] = {}
        self._listener: Optional[_Shared] = None
        self._open_state: Optional[Any] = None
        self._moving = False
        self._force: Optional[Force] = None
        self._attempts = 0
        self._not_calls = 0
        self._failed = 0
        self._refused = 0
        # next() of a count is one step to all threads: refusals by override take no lock.
        self._refused_by_force = itertools.count()
        self._refused_reads = 0

    # What the link's thread asks and orders.

    def attach(self, watched: Watched) -> None:
        self._watched = watched
        with self._lock:
            self._shadow("call", self._make_call())
            self._shadow("call_async", self._call_async)
            self._shadow("open", self._moving_by(self._breaker.open, self._why_open))
            self._shadow("half_open", self._moving_by(self._breaker.half_open, self._why_half))
            self._shadow("close", self._moving_by(self._breaker.close, self._why_closed))
            self._shadow("_inc_counter", self._counting_failures(self._breaker._inc_counter))
            self._mind_open_state()
            if type(self._breaker._state_storage) is not pybreaker.CircuitMemoryStorage:
                # Another process may move a shared state; only listeners hear of that, and
                # beside such a storage's network the cost of one is nothing.
                self._listener = _Shared(self)
                self._breaker.add_listener(self._listener)

    def detach(self) -> None:
        self._force = None
        for name, shadow in self._shadowed.items():
            if vars(self._breaker).get(name) is shadow:
                delattr(self._breaker, name)
        if self._open_state is not None:
            vars(self._open_state).pop("before_call", None)
        if self._listener is not None:
            self._breaker._listeners.remove(self._listener)  # type: ignore[arg-type]

    def natural(self) -> str:
        return STATES.get(self._breaker.current_state, CLOSED)

    def config(self) -> Dict[str, Any]:
        breaker = self._breaker
        return {
            "fail_max": breaker.fail_max,
            "reset_timeout": breaker.reset_timeout,
            "success_threshold": getattr(breaker, "success_threshold", 1),
        }

    def counts(self) -> Counts:
        by_force = next(self._refused_by_force) - self._refused_reads
        self._refused_reads += 1
        return Counts(
            calls=self._attempts - self._not_calls,
            failed=self._failed,
            not_permitted=self._refused + by_force,
        )

    def force(self, force: Optional[Force]) -> None:
        self._force = force

    def forced(self) -> Optional[str]:
        force = self._force
        if force is None:
            return None
        if self._breaker.call is not self._shadowed["call"]:
            return None
        if force.mode == FORCED_OPEN:
            # The one proof that counts: a call, and it is refused. It never runs, and takes
            # no lock, so a slow call under way does not hold it up.
            try:
                self._breaker.call(_probe)
            except pybreaker.CircuitBreakerError:
                self._refused_reads += 1
                return force.mode
            return None
        return force.mode

    def trip(self) -> bool:
        return self._when_free(self._breaker.open)

    def reset(self) -> bool:
        return self._when_free(self._breaker.close)

    def _when_free(self, act: Callable[[], object]) -> bool:
        if not self._lock.acquire(timeout=PATIENCE_S):
            return False
        try:
            act()
        finally:
            self._lock.release()
        return True

    # What runs in guarded calls.

    def _make_call(self) -> Callable[..., Any]:
        breaker, lock, adapter = self._breaker, self._lock, self
        if type(breaker).call is not pybreaker.CircuitBreaker.call:
            return self._make_call_around(self._plain_call)

        def call(func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            if adapter._force is not None:
                adapter._gate(func)
            with lock:
                adapter._attempts += 1
                # Again: it may have come while this call waited behind a slow one.
                if adapter._force is not None:
                    return adapter._overridden().call(func, *args, **kwargs)
                return breaker.state.call(func, *args, **kwargs)

        return call

    def _make_call_around(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        """For a subclass with a `call` of its own, whose body must not be left out."""
        adapter = self

        def call(func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            if adapter._force is not None:
                adapter._gate(func)
            with adapter._lock:
                adapter._attempts += 1
                if adapter._force is not None:
                    return adapter._overridden().call(func, *args, **kwargs)
            return plain(func, *args, **kwargs)

        return call

    def _call_async(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """As the library's own, which needs tornado; the caller gets a future here too."""
        if self._force is None:
            self._attempts += 1
            return self._plain_call_async(func, *args, **kwargs)  # type: ignore[no-untyped-call]
        from tornado import gen  # type: ignore[import-not-found, unused-ignore]

        @gen.coroutine  # type: ignore[untyped-decorator, unused-ignore]
        def gated() -> Any:
            self._gate(func)
            self._attempts += 1
            state = self._overridden() if self._force is not None else self._breaker.state
            return (yield state.call_async(func, *args, **kwargs))

        return gated()

    def _gate(self, func: Callable[..., Any]) -> None:
        """Refuses a call under forced_open, before it waits for any lock. Ends what is over."""
        force = self._force
        if force is None:
            return
        over = force.until is not None and time.monotonic() >= force.until
        if over:
            self._watched.lapsed(force)
        if force.mode == FORCED_OPEN and (not over or func is _probe):
            next(self._refused_by_force)
            raise _refusal(force)

    def _overridden(self) -> Any:
        """What stands in for the library's state object while an override is in force."""
        force = self._force
        if force is None:
            return self._breaker.state
        if force.mode == FORCED_OPEN:
            self._attempts -= 1
            next(self._refused_by_force)
            raise _refusal(force)
        return _ForcedClosed(self._breaker)

    def _counting_failures(self, plain: Callable[[], None]) -> Callable[[], None]:
        def inc_counter() -> None:
            self._failed += 1
            plain()

        return inc_counter

    def _moving_by(self, plain: Callable[[], Any], why_so: Callable[[], Why]) -> Callable[[], Any]:
        """The library's own move, told once it is made."""

        def move() -> Any:
            with self._lock:
                why = why_so()
                self._moving = True
                try:
                    return plain()
                finally:
                    self._moving = False
                    self._mind_open_state()
                    self._watched.moved(self._cached(), why)

        return move

    # pybreaker does not say who moved it. By its own numbers: it opens itself when the
    # failures are full or a trial failed, half-opens when its time is up, closes after trials.

    def _why_open(self) -> Why:
        breaker = self._breaker
        state, failures, most = breaker._state.name, breaker.fail_counter, breaker.fail_max
        if state == pybreaker.STATE_HALF_OPEN:
            return Why("automatic", "trial_failed", "a trial call failed")
        if state == pybreaker.STATE_CLOSED and failures >= most:
            return Why("automatic", "failures", f"{failures} failures in a row, {most} allowed")
        return BY_SERVICE

    def _why_half(self) -> Why:
        if not _time_is_up(self._breaker):
            return BY_SERVICE
        waited = f"{self._breaker.reset_timeout:g} s have passed: trial calls go through"
        return Why("automatic", "wait_over", waited)

    def _why_closed(self) -> Why:
        if self._breaker._state.name != pybreaker.STATE_HALF_OPEN:
            return BY_SERVICE
        needed = self._breaker.success_threshold
        calls = "the trial call" if needed == 1 else f"{needed} trial calls"
        return Why("automatic", "trials_succeeded", f"{calls} succeeded")

    def _mind_open_state(self) -> None:
        """Counts what an open breaker refuses, on its state object alone: closed costs nothing."""
        state = self._breaker._state
        if state.name != pybreaker.STATE_OPEN:
            self._open_state = None
            return
        if state is self._open_state:
            return
        self._open_state = state
        plain = type(state).before_call.__get__(state)

        def before_call(func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            try:
                answer = plain(func, *args, **kwargs)
            except pybreaker.CircuitBreakerError:
                if self._open_state is state:
                    self._refused += 1
                self._not_calls += 1
                raise
            except BaseException:
                self._not_calls += 1
                raise
            # It half-opened and made the call anew, which counted it a second time.
            self._not_calls += 1
            return answer

        state.before_call = before_call  # type: ignore[method-assign]

    def _noticed(self, state: Any) -> None:
        """A shared storage was moved by another process, and the library has just seen it."""
        if not self._moving:
            self._watched.moved(STATES.get(state.name, CLOSED), Why("shared"))

    def _cached(self) -> str:
        """The state of the object in use: no look into a storage that may be far away."""
        return STATES.get(self._breaker._state.name, CLOSED)

    def _shadow(self, name: str, method: Any) -> None:
        self._shadowed[name] = method
        setattr(self._breaker, name, method)


class _ForcedClosed(pybreaker.CircuitBreakerState):
    """Lets every call through and keeps the library's books, so that a release finds it right.

    The function's own exceptions reach the caller; the breaker behind trips, waits and
    recovers as it would by itself.
    """

    def __init__(self, breaker: pybreaker.CircuitBreaker) -> None:
        super().__init__(breaker, pybreaker.STATE_CLOSED)

    def before_call(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        breaker = self._breaker
        if breaker.current_state == pybreaker.STATE_OPEN and _time_is_up(breaker):
            breaker.half_open()

    def on_success(self) -> None:
        breaker = self._breaker
        if breaker.current_state == pybreaker.STATE_HALF_OPEN:
            breaker.state.on_success()

    def on_failure(self, exc: BaseException) -> None:
        breaker = self._breaker
        natural = breaker.current_state
        full = breaker.fail_counter >= breaker.fail_max
        if natural == pybreaker.STATE_HALF_OPEN or (natural == pybreaker.STATE_CLOSED and full):
            breaker.open()


class _Shared(pybreaker.CircuitBreakerListener):
    def __init__(self, adapter: PybreakerAdapter) -> None:
        self._adapter = adapter

    def state_change(self, cb: Any, old_state: Any, new_state: Any) -> None:
        self._adapter._noticed(new_state)


def _time_is_up(breaker: pybreaker.CircuitBreaker) -> bool:
    opened_at = breaker._state_storage.opened_at
    if not opened_at:
        return True
    if opened_at.tzinfo is None:  # as versions before 1.1 kept it
        opened_at = opened_at.replace(tzinfo=timezone.utc)
    return datetime.now(timezone.utc) >= opened_at + timedelta(seconds=breaker.reset_timeout)


def _refusal(force: Force) -> pybreaker.CircuitBreakerError:
    reason = f": {force.reason}" if force.reason else ""
    return pybreaker.CircuitBreakerError(f"Forced open by Panelboard{reason}")


def _probe() -> None:
    """Never runs: it is refused."""


def _library() -> str:
    try:
        return f"pybreaker {version('pybreaker')}"
    except PackageNotFoundError:
        return "pybreaker"
