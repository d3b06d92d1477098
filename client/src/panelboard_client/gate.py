"""Breakers of no library: a service tells what its own is, and asks whether a call may go ahead."""

from __future__ import annotations

from typing import Any, Callable, Dict, Optional

from panelboard_client.adapter import Adapter, Force, Why
from panelboard_client.wire import CLOSED, FORCED_CLOSED, FORCED_OPEN, HALF_OPEN, OPEN

STATES = (CLOSED, OPEN, HALF_OPEN, FORCED_OPEN, FORCED_CLOSED)


class Refused(RuntimeError):
    """A Gate's `with` block does not run: the breaker is forced open on the board."""


class Gate:
    """The hand of the board on a breaker that is no library's. Made by `Panel.gate`.

        gate = panel.gate("ledger", target="ledger")
        with gate:               # raises Refused while the board says "forced open"
            post_entry()

    or, beside a breaker of your own:

        if gate.allows(mine.is_closed()):
            ...
        gate.report("open", reason="failures")   # when yours changes
    """

    def __init__(self, adapter: GateAdapter) -> None:
        self._adapter = adapter

    def allows(self, otherwise: bool = True) -> bool:
        """Whether a call may go ahead: False while forced open, True while forced closed, else
        `otherwise`, which is what your own breaker thinks. Constant work, and never raises."""
        adapter = self._adapter
        force = adapter.standing()
        allowed = otherwise if force is None else force.mode != FORCED_OPEN
        if allowed:
            adapter.calls.tick()
        else:
            adapter.refusals.tick()
        return allowed

    def report(
        self,
        state: str,
        *,
        cause: str = "automatic",
        reason: Optional[str] = None,
        detail: Optional[str] = None,
    ) -> None:
        """Says what your own breaker is now; the same again says nothing.

        Raises ValueError for a word that is no state.
        """
        if state not in STATES:
            raise ValueError(f"state must be one of {', '.join(STATES)}, not {state!r}")
        self._adapter.reported(state, Why(cause, reason, detail))

    def __enter__(self) -> Gate:
        adapter = self._adapter
        adapter.gate()
        adapter.calls.tick()
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if error is not None and isinstance(error, Exception):
            self._adapter.failures.tick()

    async def __aenter__(self) -> Gate:
        return self.__enter__()

    async def __aexit__(self, kind: Any, error: Any, traceback: Any) -> None:
        self.__exit__(kind, error, traceback)


class GateAdapter(Adapter):
    """Steered where the service has asked for a gate; else it only tells."""

    def __init__(self, name: str, library: Optional[str], *, asked: bool) -> None:
        super().__init__(self)
        self.library = library
        self.asked = asked
        self.by_command: Dict[str, Callable[[], object]] = {}
        self._name = name
        self._state = CLOSED

    @property
    def counted(self) -> bool:  # type: ignore[override]
        return self.asked

    @property
    def name(self) -> str:
        return self._name

    def natural(self) -> str:
        return self._state

    def config(self) -> Dict[str, Any]:
        return {}

    def reported(self, state: str, why: Why) -> None:
        self._state = state
        if self._watched is not None:
            self._watched.look(why)

    def force(self, force: Optional[Force]) -> None:
        if force is not None and not self.asked:
            raise RuntimeError("the service only reports this breaker, and has no gate to ask")
        super().force(force)

    def refusal(self, force: Force) -> BaseException:
        return Refused(force.words)

    def probe(self) -> None:
        self.gate()

    def trip(self) -> bool:
        return self._act("trip")

    def reset(self) -> bool:
        return self._act("reset")

    def _act(self, command: str) -> bool:
        act = self.by_command.get(command)
        if act is None:
            raise RuntimeError(f"this service has not said how to {command} its breaker")
        act()
        return True
