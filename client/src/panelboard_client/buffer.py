"""Events on their way: bounded memory, the oldest dropped and counted when it is full."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Deque, Dict, List, Optional

from panelboard_client.wire import Event

BOUND = 5000
"""Events kept while the panel is away: about 3 MB, and a day of an ordinary service's changes."""


class Buffer:
    """Events wait here until the server says that they are committed.

    One batch is under way at a time; a batch that was not acknowledged is handed out again,
    the same events in the same order.
    """

    def __init__(self, bound: int = BOUND) -> None:
        self._bound = bound
        self.after_fork()

    def after_fork(self) -> None:
        """Starts empty: what waited at the fork is the parent's to send."""
        # Reentrant (Condition's default), for a signal handler may run a guarded call while
        # its thread is in here.
        self._settled_more = threading.Condition()
        self._waiting: Deque[Event] = deque()
        self._under_way: List[Event] = []
        self._lost: Dict[str, int] = {}
        self._added = 0
        self._settled = 0

    def add(self, event: Event) -> None:
        """Constant work, never waits for the network."""
        with self._settled_more:
            if len(self._waiting) + len(self._under_way) >= self._bound and self._waiting:
                dropped = self._waiting.popleft()
                self._lost[dropped.breaker] = self._lost.get(dropped.breaker, 0) + 1
                self._settled += 1
            self._waiting.append(event)
            self._added += 1

    def batch(self, most: int) -> List[Event]:
        """The batch under way, else the next one of up to `most` events; empty if none waits."""
        with self._settled_more:
            if not self._under_way:
                count = min(most, len(self._waiting))
                self._under_way = [self._waiting.popleft() for _ in range(count)]
            return self._under_way

    def settle(self) -> None:
        """The batch under way is committed, or refused for good."""
        with self._settled_more:
            self._settled += len(self._under_way)
            self._under_way = []
            self._settled_more.notify_all()

    def take_losses(self) -> Dict[str, int]:
        """Events dropped for want of room, by breaker, since this was last asked."""
        with self._settled_more:
            lost, self._lost = self._lost, {}
            return lost

    def __len__(self) -> int:
        return len(self._waiting) + len(self._under_way)

    def wait(self, timeout_s: Optional[float]) -> bool:
        """Waits until all that was added before is settled; False if time ran out first."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        with self._settled_more:
            target = self._added
            while self._settled < target:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return False
                self._settled_more.wait(left)
            return True
