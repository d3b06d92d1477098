"""Lanes: how many tasks of one queue run at once in a worker, so that slow deliveries never hold up rules.

A worker is one process with threads (docs/decisions/0001). A task whose lane is full ends at once: tasks
only wake, the work is rows, and the next tick finds it.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from typing import Any

import structlog
from celery import Task

LANES = {"evaluate": 2, "deliver": 2, "upkeep": 4}
"""Queue → tasks of it at once in one worker. Of rules one judges, and another says to it that there is more."""
STUCK_S = 600.0
"""Threads cannot be stopped from outside: a worker with a task older than this is ended whole."""

_log = structlog.get_logger(__name__)


class Lanes:
    """Who is in which lane, since when."""

    def __init__(self, sizes: dict[str, int]) -> None:
        self._sizes = sizes
        self._entered: dict[str, dict[int, float]] = defaultdict(dict)
        self._lock = threading.Lock()

    def enter(self, lane: str, now: float) -> bool:
        """False if the lane is full; a lane without a size never is."""
        with self._lock:
            inside = self._entered[lane]
            if len(inside) >= self._sizes.get(lane, 1_000):
                return False
            inside[threading.get_ident()] = now
            return True

    def leave(self, lane: str) -> None:
        with self._lock:
            self._entered[lane].pop(threading.get_ident(), None)

    def oldest_s(self, now: float) -> float:
        """How long the longest task has been running; none: 0."""
        with self._lock:
            entered = [at for inside in self._entered.values() for at in inside.values()]
        return now - min(entered) if entered else 0.0


lanes = Lanes(LANES)


class LaneTask(Task):  # type: ignore[type-arg]  # a base class for tasks of any signature
    """Every task of Panelboard; called directly, it runs like a function."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        delivered = self.request.delivery_info
        if not delivered or self.request.is_eager:
            return self.run(*args, **kwargs)
        lane = str(delivered.get("routing_key"))
        if not lanes.enter(lane, time.monotonic()):
            _log.debug("lane full", lane=lane, task=self.name)
            return None
        try:
            return self.run(*args, **kwargs)
        finally:
            lanes.leave(lane)
