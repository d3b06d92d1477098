"""purgatory: by the context behind its breakers, which decorators and `with` blocks share.

`get_breaker` answers a new wrapper each time; in memory all of one name have the same context,
with Redis each has one of its own, made from what Redis says. So it is contexts that are
watched: the one at hand, and all that the repository hands out under that name later. A context
asks its state object at each call, so that is where calls are counted, in C code.

An async breaker belongs to the event loop that calls it, and so do the repository's connections:
commands run there.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any, Callable, Dict, List, Optional, Tuple

from purgatory.domain.model import ClosedState, Context, OpenedState
from purgatory.service._async.circuitbreaker import AsyncCircuitBreaker
from purgatory.service._async.repository import AsyncInMemoryRepository
from purgatory.service._sync.circuitbreaker import SyncCircuitBreaker
from purgatory.service._sync.repository import SyncInMemoryRepository

from panelboard_client import failure
from panelboard_client.adapter import (
    BY_SERVICE,
    SHARED,
    Adapter,
    Force,
    Why,
    failures_full,
    trial_failed,
    trials_succeeded,
    wait_over,
)
from panelboard_client.on_loop import OnLoop
from panelboard_client.watched import Watched
from panelboard_client.wire import CLOSED, HALF_OPEN, OPEN

STATES = {"closed": CLOSED, "opened": OPEN, "half-opened": HALF_OPEN}
DRESS = ("handle_new_request", "handle_exception")


def adapt(breaker: Any) -> PurgatoryAdapter:
    if not isinstance(breaker, (SyncCircuitBreaker, AsyncCircuitBreaker)):
        raise TypeError(
            f"cannot watch {type(breaker).__qualname__}: pass what get_breaker() answers"
        )
    return PurgatoryAdapter(breaker)


class PurgatoryAdapter(Adapter):
    distribution = "purgatory"

    def __init__(self, breaker: Any) -> None:
        super().__init__(breaker)
        self._context: Context = breaker.context
        """The newest that is known: in memory there is but one."""
        self._repository = breaker.uow.contexts
        self._asynchronous = isinstance(breaker, AsyncCircuitBreaker)
        self._in_memory = isinstance(
            self._repository, (SyncInMemoryRepository, AsyncInMemoryRepository)
        )
        self._loop = OnLoop()
        self._moves = self._saves = 0

    @property
    def name(self) -> str:
        return str(self._context.name)

    def same(self, other: Adapter) -> bool:
        return self.breaker.context is other.breaker.context

    def attach(self, watched: Watched) -> None:
        super().attach(watched)
        context = self._context
        self.shadow(context, "set_state", self._moving(context))
        self._dress(context)
        if not self._in_memory:
            ways = (self._loading, self._saving)
            for name, way in zip(("get", "update_state"), ways):  # noqa: B905
                self.shadow(self._repository, name, way(getattr(self._repository, name)))

    def detach(self) -> None:
        super().detach()
        for name in DRESS:
            vars(self.breaker.context._state).pop(name, None)

    def natural(self) -> str:
        return STATES[self._context.state]

    def probe_due_at(self) -> Optional[float]:
        opened_at = self._context.opened_at
        return None if opened_at is None else opened_at + self._context.ttl

    def config(self) -> Dict[str, Any]:
        return {"threshold": self._context.threshold, "ttl": self._context.ttl}

    def gates(self) -> List[Tuple[Any, str, Any]]:
        context = self.breaker.context
        return [(context, "handle_new_request", self._gated(context))]

    def refusal(self, force: Force) -> BaseException:
        refused = OpenedState(self.name)
        refused.args = (force.words,)
        return refused

    def probe(self) -> None:
        self.breaker.context.handle_new_request()

    def trip(self) -> bool:
        return self._do(lambda context: context.set_state(OpenedState(context.name)))

    def reset(self) -> bool:
        return self._do(_close)

    def _do(self, move: Callable[[Any], None]) -> bool:
        """Makes a move, and tells the repository and the service's own listeners of it."""
        if not self._asynchronous:
            self._do_here(move)
            return True
        if not self._in_memory and not self._loop.running:
            return False  # its connections want their loop, and it is not to be seen
        return self._loop.run(lambda: self._do_there(move))

    def _do_here(self, move: Callable[[Any], None]) -> None:
        breaker = self.breaker
        context = self._context if self._in_memory else self._repository.get(self.name)
        move(context)
        while context.messages:
            breaker.messagebus.handle(context.messages.pop(0), breaker.uow)

    async def _do_there(self, move: Callable[[Any], None]) -> None:
        breaker = self.breaker
        context = self._context if self._in_memory else await self._repository.get(self.name)
        move(context)
        while context.messages:
            await breaker.messagebus.handle(context.messages.pop(0), breaker.uow)

    # What runs in guarded calls.

    def _dress(self, context: Any) -> None:
        state = context._state
        plainly, failing = (getattr(state, name) for name in DRESS)
        opened = context.state == "opened"
        state.handle_new_request = (
            self._refusing(plainly) if opened else partial(next, self.calls.counter)
        )
        state.handle_exception = self._failing(failing)

    def _refusing(self, plain: Callable[[Any], None]) -> Callable[[Any], None]:
        def handle_new_request(context: Any) -> None:
            try:
                plain(context)
            except OpenedState:
                self.refusals.tick()
                raise

        return handle_new_request

    def _failing(self, plain: Callable[..., None]) -> Callable[..., None]:
        def handle_exception(context: Any, exc: BaseException) -> None:
            self.failures.tick()
            plain(context, exc)

        return handle_exception

    def _gated(self, context: Any) -> Callable[[], None]:
        plain = context.handle_new_request

        def handle_new_request() -> None:
            force = self.gate()
            if force is not None and context.state == "opened" and not _time_is_up(context):
                # Let through against the library's will. Its open state asks nothing at the
                # end of a call, so this one is not in its books.
                self.calls.tick()
            else:
                plain()

        return handle_new_request

    def _moving(self, context: Any) -> Callable[[Any], None]:
        plain = context.set_state

        def set_state(state: Any) -> None:
            why = self.reason(_why, context, state)
            self._moves += 1
            self._saves += 0 if self._in_memory else 1
            plain(state)
            self._dress(context)
            self._context = context
            self._watched.look(why)

        return set_state

    # A shared repository: each call has a context of its own.

    def _loading(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        def took(name: str, context: Any, moves: int) -> Any:
            if context is None or name != self.name:
                return context
            # Handed out while a move of our own is not saved yet, it is older than that.
            news = moves == self._moves and self._saves == 0
            context.set_state = self._moving(context)
            context.handle_new_request = self._gated(context)
            self._dress(context)
            if news:
                self._context = context
                self._watched.look(SHARED)
            return context

        def get(name: str) -> Any:
            moves = self._moves
            return took(name, plain(name), moves)

        async def get_there(name: str) -> Any:
            self._loop.settle()
            moves = self._moves
            return took(name, await plain(name), moves)

        return get_there if self._asynchronous else get

    def _saving(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        def update_state(name: str, state: str, opened_at: Any) -> None:
            try:
                plain(name, state, opened_at)
            finally:
                self._saved(name)

        async def update_state_there(name: str, state: str, opened_at: Any) -> None:
            try:
                await plain(name, state, opened_at)
            finally:
                self._saved(name)

        return update_state_there if self._asynchronous else update_state

    def _saved(self, name: str) -> None:
        if name == self.name:
            self._saves = max(0, self._saves - 1)


def _why(context: Any, to: Any) -> Why:
    """purgatory does not say who moved it; by its own numbers."""
    before, state = STATES[context.state], STATES[to.name]
    if state == HALF_OPEN:
        return wait_over(context.ttl) if _time_is_up(context) else BY_SERVICE
    if before == HALF_OPEN:
        return trial_failed(failure.in_hand()) if state == OPEN else trials_succeeded()
    if state == OPEN and context.failure_count >= context.threshold:
        return failures_full(context.failure_count, context.threshold, failure.in_hand())
    return BY_SERVICE


def _time_is_up(context: Any) -> bool:
    opened_at = context.opened_at
    return opened_at is None or time.time() > opened_at + context.ttl


def _close(context: Any) -> None:
    if context.state == "closed":
        context._state.failure_count = 0
    else:
        context.set_state(ClosedState())
    context.recover_failure()
