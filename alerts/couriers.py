"""The threads that send: bounded, fair to channels that are quick, and without a database of their own.

One thread claims and writes results; for each claim another sends and hands back what came of it. Channels
known to be quick, those of which nothing is known, and those that fail or are slow have slots of their own, so
that none waits for worse ones. An attempt that takes long counts as slow while it is still under way.
"""

from __future__ import annotations

import queue
import random
import threading
import time
from collections import Counter
from datetime import datetime

import structlog
from django.db import InterfaceError, OperationalError

from alerts.channels import Failed, Outcome
from alerts.deliver import SLOW_S, Claimed, Speed, bury, claim_due, finish
from breakers.clock import database_now

SLOTS = 48
"""Attempts at once of each speed. Those under way that turn out slow leave their slot to others of their speed,
until there are as many threads as all slots, and for channels known to be quick as many slots more."""
EACH = {Speed.QUICK: 2, Speed.UNKNOWN: 1, Speed.SLOW: 1}
"""Attempts at once for one channel."""
_POLL_S = 0.25
_log = structlog.get_logger(__name__)


class Couriers:
    """All attempts of this process. `run` may be called by anyone at any time."""

    def __init__(self, *, slots: int = SLOTS, slow_s: float = SLOW_S) -> None:
        self._slots, self._slow_s = slots, slow_s
        self._results: queue.SimpleQueue[tuple[Claimed, Outcome, int]] = queue.SimpleQueue()
        self._unwritten: list[tuple[Claimed, Outcome, int]] = []
        self._in_flight: dict[tuple[int, int], tuple[Claimed, float]] = {}
        """With when it began, by the monotonic clock."""
        self._running = threading.Lock()
        self._again = threading.Event()

    def run(self, *, budget_s: float = 10.0) -> int:
        """Delivers until nothing is due, or for so long; gives the number of attempts written.

        If another thread is at it, that one is told to look again and this one returns. What is still
        being sent when the time is over is written by the next run.
        """
        written = 0
        deadline = time.monotonic() + budget_s
        self._again.set()
        while self._again.is_set() and self._running.acquire(blocking=False):
            try:
                self._again.clear()
                written += self._deliver(deadline)
            finally:
                self._running.release()
            if time.monotonic() >= deadline:
                break
        return written

    def _deliver(self, deadline: float) -> int:
        bury(database_now())
        written = self._write()
        while True:
            claimed = self._start_due() if time.monotonic() < deadline else 0
            if not self._in_flight or (not claimed and time.monotonic() >= deadline):
                return written
            written += self._write(wait_s=_POLL_S)

    def _start_due(self) -> int:
        now, started = database_now(), 0
        for speed in Speed:
            used, busy = self._under_way()
            threads = self._slots * (len(Speed) + (speed is Speed.QUICK))
            room = min(self._slots - used[speed], threads - len(self._in_flight))
            claimed = claim_due(now=now, limit=room, each=EACH[speed], speed=speed, busy=busy)
            for one in claimed:
                self._start(one)
            started += len(claimed)
        return started

    def _under_way(self) -> tuple[Counter[Speed], list[int]]:
        """How many there are of each speed by now, and the channel of each; a slow one is all its channel may have."""
        used: Counter[Speed] = Counter()
        busy: list[int] = []
        slow = time.monotonic() - self._slow_s
        for one, began in self._in_flight.values():
            speed = Speed.SLOW if began < slow else one.speed
            used[speed] += 1
            busy += [one.channel_id] * (EACH[Speed.QUICK] if speed is Speed.SLOW else 1)
        return used, busy

    def _start(self, one: Claimed) -> None:
        self._in_flight[one.id, one.fence] = one, time.monotonic()
        if one.ready is not None:
            self._results.put((one, one.ready, 0))
            return
        sender = threading.Thread(
            target=self._send, args=(one,), name=f"delivery-{one.id}", daemon=True
        )
        try:
            sender.start()
        except RuntimeError:  # the machine gives us no more threads
            self._results.put((one, Failed(None, "There was no thread to send it."), 0))

    def _send(self, one: Claimed) -> None:
        began = time.monotonic()
        assert one.kind is not None
        assert one.parcel is not None
        try:
            outcome = one.kind.send(one.parcel)
        except (
            Exception
        ) as problem:  # a kind with a mistake fails like a receiver that does not answer
            _log.exception("channel failed to send", delivery=one.id)
            outcome = Failed(None, f"The attempt failed ({type(problem).__name__}).")
        self._results.put((one, outcome, int((time.monotonic() - began) * 1000)))

    def _write(self, *, wait_s: float = 0.0) -> int:
        """Writes what came back; what cannot be written now stays in hand for the next run."""
        try:
            self._unwritten.append(
                self._results.get(timeout=wait_s) if wait_s else self._results.get_nowait()
            )
            while True:
                self._unwritten.append(self._results.get_nowait())
        except queue.Empty:
            pass
        written = 0
        now: datetime | None = None
        while self._unwritten:
            one, outcome, took_ms = self._unwritten[0]
            now = now or database_now()
            luck = random.random()  # noqa: S311 - jitter
            try:
                finish(one, outcome, took_ms=took_ms, now=now, luck=luck)
            except (OperationalError, InterfaceError):
                raise
            except Exception:
                # Its lease runs out and it is tried again; the others are not held up by it.
                _log.exception("result not written", delivery=one.id)
            self._unwritten.pop(0)
            self._in_flight.pop((one.id, one.fence), None)
            written += 1
        return written


couriers = Couriers()
