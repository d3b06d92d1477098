"""One watched breaker: what it is now, what was ordered of it, and the events that tell of both.

Two sides meet here. The guarded calls of the service come in through `moved` and `lapsed`,
under the library's own lock: constant work, no waiting, nothing raised. The link's thread
comes in through the rest, and never holds this object's lock while it wants the library's.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any, Callable, Dict, Optional

from panelboard_client.adapter import Adapter, Counts, Force, Why
from panelboard_client.desired import Standing, Step
from panelboard_client.wire import (
    CLOSED,
    MAX_DUE_S,
    MIN_DUE_S,
    OPEN,
    Applied,
    Order,
    rfc3339,
)

log = logging.getLogger("panelboard_client")

Emit = Callable[..., None]
"""Takes the fields of an Event but its id; see Roster."""


class Watched:
    def __init__(
        self,
        adapter: Adapter,
        *,
        name: str,
        target: Optional[str],
        emit: Emit,
    ) -> None:
        self.adapter = adapter
        self.name = name
        self.target = target
        self.standing = Standing()
        self.faults = 0
        """Errors of our own that were kept from a guarded call."""
        self._emit = emit
        self._lock = threading.RLock()
        self._force: Optional[Force] = None
        self._order_running: Optional[str] = None
        self._natural = CLOSED
        self._since = time.time()
        self._seq = 0
        self._told = Counts(0, 0, 0)
        self._told_at = time.monotonic()
        self._told_zero = False

    def attach(self) -> None:
        self.adapter.attach(self)
        self._natural = self.adapter.natural()

    @property
    def state(self) -> str:
        force = self._force
        return self._natural if force is None else force.mode

    # Called in guarded calls.

    def moved(self, to: str, why: Why) -> None:
        """The library went to another state by itself, or by the hand of the service."""
        try:
            with self._lock:
                if to == self._natural:
                    return
                before = self.state
                self._natural = to
                command = self._order_running
                if command:
                    why = Why("manual", "command", command)
                # What was counted up to here tells why; the next sample counts it again.
                counts = self.adapter.counts() if to == OPEN and self.adapter.counted else None
                metrics = self._counted(counts, time.monotonic()) if counts else None
                self._tell(before, *why, metrics=metrics)
        except Exception:  # telemetry never harms the call it is about (I9)
            self.faults += 1

    def look(self, why: Why) -> None:
        """As moved(), for a library without a lock: what it is now is read under ours, so that
        whoever comes last tells what is."""
        try:
            with self._lock:
                self.adapter.mind()
                self.moved(self.adapter.natural(), why)
        except Exception:
            self.faults += 1

    def lapsed(self, force: Force, reason: str = "expired") -> None:
        """The override's time has come: seen by a guarded call or by the link's clock."""
        try:
            with self._lock:
                if self._force is not force:
                    return
                before = self.state
                self.adapter.force(None)
                self._force = None
                self.standing.drop()
                self._tell(before, cause="override", reason=reason)
        except Exception:
            self.faults += 1

    # Called by the link's thread.

    def receive(self, order: Order, now: float) -> None:
        """Takes an order and puts it into effect, but for a command that has to wait."""
        with self._lock:
            step = self.standing.receive(order, now)
            if step is Step.CONVERGE or self._shortened():
                self._obey()
        if step is Step.CONVERGE:
            self.standing.error = self._read_back()
            self.proceed(now)

    def resume(self, order: Order, now: float) -> None:
        """Takes up what was wished in an earlier life of this service, until the panel says what
        it wishes now, under whatever revision: this instance has confirmed nothing."""
        with self._lock:
            self.standing.receive(order, now)
            self._obey()
            self.standing.forget_answers()

    def try_again(self) -> None:
        """What could not be put into effect now may be; else it fails as before."""
        with self._lock:
            if self.standing.error is None or self.standing.mode is None:
                return
            self._obey()
        self.standing.settle(self._read_back())

    def forget_revision(self) -> None:
        """What stands stands on, to its end or the next order, whatever its number."""
        with self._lock:
            self.standing.forget_answers()

    def disown(self) -> None:
        """The panel wishes nothing of this breaker, and never has."""
        force = self._force
        if force is not None and self.standing.revision is None:
            self.lapsed(force, reason="released")

    def proceed(self, now: float) -> bool:
        """Runs the waiting command if the breaker lets it; says whether the order is now settled.

        True as well where nothing waits.
        """
        standing = self.standing
        waiting = standing.waiting
        if waiting is not None:
            if now >= waiting.until:
                standing.ran(waiting.id)
                standing.settle(f"{waiting.command}: a call held the breaker until it was too late")
                return True
            try:
                if not self._run(waiting.command):
                    return False
            except Exception as error:  # a library's, or a listener's of the service: told once
                log.exception("could not %s %s", waiting.command, self.name)
                standing.error = f"{waiting.command}: {type(error).__name__}: {error}"
            standing.ran(waiting.id)
            want = CLOSED if waiting.command == "reset" else OPEN
            natural = self.adapter.natural()
            if standing.error is None and natural != want:
                standing.error = f"{waiting.command}: the breaker reads {natural}"
        standing.settle(standing.error)
        return True

    @property
    def due(self) -> Optional[float]:
        """Monotonic seconds at which keep_time() has something to do; None if nothing has an end."""
        force, turns = self._force, self.adapter.due
        ends = None if force is None else force.until
        return min(ends, turns) if ends is not None and turns is not None else ends or turns

    def keep_time(self, now: float) -> None:
        """Ends an override whose time has come, and sees a state that turns by the clock."""
        force, turns = self._force, self.adapter.due
        if force is not None and force.until is not None and now >= force.until:
            self.lapsed(force)
        if turns is not None and now >= turns:
            self.adapter.look()

    def answer(self) -> Optional[Applied]:
        """What to say about the last order; None while it is being put into effect."""
        revision = self.standing.answerable()
        if revision is None:
            return None
        return Applied(self.name, revision, self.standing.error, self.state, self._natural)

    def describe(self) -> Dict[str, Any]:
        """This breaker in a hello."""
        with self._lock:
            due = self._probe_due_at(time.time())
            told = {
                "breaker": self.name,
                "state": self.state,
                "natural_state": self._natural,
                "since": rfc3339(self._since),
                "probe_due_at": None if due is None else rfc3339(due),
                "seq": self._seq,
                "target": self.target,
                "library": self.adapter.library,
                "config": self.adapter.config(),
                "applied_revision": self.standing.applied,
            }
        return {key: value for key, value in told.items() if value is not None}

    def sample(self, now: float) -> bool:
        """Tells what was counted since the last time; an idle breaker is told once as idle."""
        with self._lock:  # a breaker that opens just now reads the counters too
            counts = self.adapter.counts()
            metrics = self._counted(counts, now)
            self._told, self._told_at = counts, now
        if not self.adapter.counted:
            return False
        idle = metrics["calls"] == 0 and metrics["not_permitted"] == 0
        if idle and self._told_zero:
            return False
        self._told_zero = idle
        with self._lock:
            self._say("snapshot", natural=self._natural, metrics=metrics)
        return True

    def _counted(self, counts: Counts, now: float) -> Dict[str, Any]:
        """What was counted since the last sample, over the seconds since then."""
        calls, failed, refused = (new - old for new, old in zip(counts, self._told))  # noqa: B905
        metrics: Dict[str, Any] = {
            "calls": calls,
            "failed": failed,
            "not_permitted": refused,
            "window": round(max(now - self._told_at, 0.001), 3),
        }
        if calls > 0:
            # A call that began in one window may fail in the next.
            metrics["failure_rate"] = round(min(100.0, 100.0 * failed / calls), 2)
        return metrics

    def note(self, *, reason: str, detail: str) -> None:
        with self._lock:
            self._say("note", reason=reason, detail=detail)

    def release(self) -> None:
        """Ends the watch without a word: nobody will be there to end an override."""
        with self._lock:
            self._force = None
            self.adapter.detach()

    def after_fork(self) -> None:
        """In the child: a lock that another thread held at the fork is never let go here."""
        self._lock = threading.RLock()
        self._order_running = None
        self.standing.forget_answers()
        self._told, self._told_at = self.adapter.counts(), time.monotonic()

    def _obey(self) -> None:
        standing = self.standing
        before = self.state
        force = (
            None if standing.mode is None else Force(standing.mode, standing.reason, standing.until)
        )
        self.adapter.force(force)
        self._force = force
        if self.state != before:
            self._tell(
                before,
                cause="override",
                reason="released" if force is None else "override",
                detail=standing.reason or None,
            )

    def _shortened(self) -> bool:
        force, standing = self._force, self.standing
        return force is not None and standing.mode == force.mode and standing.until != force.until

    def _read_back(self) -> Optional[str]:
        """An override counts as applied only once the breaker itself says so."""
        with self._lock:  # so that it cannot lapse between the two readings
            want, found = self.standing.mode, self.adapter.forced()
        return None if found == want else f"wanted {want}, the breaker reads {found}"

    def _run(self, command: str) -> bool:
        self._order_running = command
        try:
            return self.adapter.reset() if command == "reset" else self.adapter.trip()
        finally:
            self._order_running = None

    def _tell(
        self,
        before: str,
        cause: str,
        reason: Optional[str] = None,
        detail: Optional[str] = None,
        metrics: Optional[Dict[str, Any]] = None,
    ) -> None:
        to = self.state
        at = self._say(
            "state_change",
            from_=before,
            to=to,
            natural=self._natural,
            cause=cause,
            reason=reason,
            detail=detail,
            metrics=metrics,
        )
        if to != before:
            self._since = at

    def _say(self, type_: str, **fields: Any) -> float:
        self._seq += 1
        at = time.time()
        self._emit(
            breaker=self.name,
            type=type_,
            seq=self._seq,
            at=at,
            target=self.target,
            library=self.adapter.library,
            probe_due_at=self._probe_due_at(at),
            **fields,
        )
        return at

    def _probe_due_at(self, now: float) -> Optional[float]:
        """What the library says of it, if that can be: the rest is told without."""
        if self.state != OPEN:
            return None
        try:
            due = self.adapter.probe_due_at()
        except Exception:
            self.faults += 1
            return None
        return due if due is not None and MIN_DUE_S <= due - now <= MAX_DUE_S else None
