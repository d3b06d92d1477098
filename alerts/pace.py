"""How often the evaluator looks: at once after a quiet time, and in breaths under a steady load.

A pass costs about as much for a breaker with one outbox row as for one with thirty, and some twenty statements for
none. Under a steady load the evaluator therefore rests after each pass, so that what comes meanwhile is judged
together, and leaves the machine to those who write.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

BRIEF_S = 0.01
"""A pass that takes no longer found next to nothing, and needs no rest."""
REST, REST_GROWS = 3.0, 50.0
"""Times as long as the pass took, and for one of t seconds 50 t times where that is more: 8 for one of 0.16 s."""
REST_MIN_S, REST_MAX_S = 0.1, 1.5
"""For alerts are waited for."""


class Pace:
    """One pass at a time in this process. `run` may be called by anyone at any time."""

    def __init__(
        self, look: Callable[[], object], *, rest: Callable[[float], object] = time.sleep
    ) -> None:
        self._look, self._rest = look, rest
        self._running = threading.Lock()
        self._again = threading.Event()

    def run(self, *, budget_s: float = 10.0) -> None:
        """Looks, and again for whoever asked meanwhile, for about so long. If another thread is at it, that
        one is told to look again, and this one returns."""
        deadline = time.monotonic() + budget_s
        self._again.set()
        while self._again.is_set() and self._running.acquire(blocking=False):
            try:
                self._again.clear()
                began = time.monotonic()
                self._look()
                took = time.monotonic() - began
                if took > BRIEF_S:
                    rest = took * max(REST, REST_GROWS * took)
                    self._rest(min(max(rest, REST_MIN_S), REST_MAX_S))
            finally:
                self._running.release()
            if time.monotonic() > deadline:
                return
