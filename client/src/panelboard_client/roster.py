"""All the breakers that a panel watches, and whom an order is for."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from typing import Any, Callable, Dict, List, Optional, Tuple

from panelboard_client.adapter import Adapter
from panelboard_client.buffer import Buffer
from panelboard_client.gate import GateAdapter
from panelboard_client.watched import Watched
from panelboard_client.wire import MAX_BREAKERS, MAX_NAME, Applied, Event, Order

log = logging.getLogger("panelboard_client")


class Roster:
    def __init__(self, buffer: Buffer, *, wake: Callable[[], None]) -> None:
        self._buffer = buffer
        self._wake = wake
        self._lock = threading.RLock()
        self._watched: Dict[str, Watched] = {}
        self._owed: Dict[str, Watched] = {}
        self._unclaimed: Dict[str, Tuple[Order, float]] = {}
        self._remembered: Dict[str, Tuple[Order, float]] = {}
        self._numbers = itertools.count(1)
        self.boot = ""
        self.version = 0
        """Grows when the set of breakers changes: a hello tells it whole."""

    def watch(self, adapter: Adapter, *, name: Optional[str], target: Optional[str]) -> bool:
        """False if there is no room for another one. Raises ValueError."""
        name = name or adapter.name
        if not name:
            raise ValueError("the breaker has no name: pass name=...")
        check_name("name", name)
        if target is not None:
            check_name("target", target)
        with self._lock:
            known = self._watched.get(name)
            if known is not None:
                if known.adapter.same(adapter):
                    return True
                raise ValueError(
                    f"another breaker is watched as {name!r} already: names tell breakers of "
                    "one service apart"
                )
            if len(self._watched) >= MAX_BREAKERS:
                return False
            watched = Watched(adapter, name=name, target=target, emit=self._emit)
            watched.attach()
            self._watched[name] = watched
            self.version += 1
            claimed = self._unclaimed.pop(name, None)
            remembered = self._remembered.pop(name, None)
        if claimed is not None:
            self.obey(watched, *claimed)
        elif remembered is not None:
            self._resume(watched, *remembered)
        self._wake()
        return True

    def gate(
        self, name: str, *, asked: bool, library: Optional[str], target: Optional[str]
    ) -> GateAdapter:
        """The one of this name, made where there is none; unattached if there is no room.

        `asked`: the service will ask it before its calls, so that overrides mean something.
        """
        with self._lock:
            known = self._watched.get(name)
            if known is None or not isinstance(known.adapter, GateAdapter):
                adapter = GateAdapter(name, library, asked=asked)
                self.watch(adapter, name=name, target=target)
                return adapter
        if asked and not known.adapter.asked:
            known.adapter.asked = True
            known.try_again()
            self.owe_answer(known)
        return known.adapter

    def all(self) -> List[Watched]:
        return list(self._watched.values())

    def find(self, name: str) -> Optional[Watched]:
        return self._watched.get(name)

    def keep(self, order: Order, now: float) -> None:
        """An order for a breaker that is not watched yet; it is handed over once it is."""
        with self._lock:
            held = self._unclaimed.get(order.breaker)
            room = held is not None or len(self._unclaimed) < MAX_BREAKERS
            if room and (held is None or held[0].revision < order.revision):
                self._unclaimed[order.breaker] = (order, now)

    def remember(self, orders: List[Order], now: float) -> None:
        """What stood in an earlier life of this service; taken up as its breakers are watched."""
        self._remembered = {order.breaker: (order, now) for order in orders}

    def obey(self, watched: Watched, order: Order, now: float) -> None:
        """Never raises: one library's trouble is not the others', nor the service's."""
        try:
            watched.receive(order, now)
        except Exception as error:
            log.exception("could not obey the panel's order for %s", order.breaker)
            watched.standing.settle(f"{type(error).__name__}: {error}")
        if watched.standing.waiting is None:
            self.owe_answer(watched)

    def _resume(self, watched: Watched, order: Order, now: float) -> None:
        try:
            watched.resume(order, now)
        except Exception:
            log.exception("could not take up what the panel wished for %s", order.breaker)

    def owe_answer(self, watched: Watched) -> None:
        """The panel is to hear how far its last order for this breaker got."""
        with self._lock:
            self._owed[watched.name] = watched

    def take_owed(self) -> List[Applied]:
        with self._lock:
            owed, self._owed = self._owed, {}
        answers = (watched.answer() for watched in owed.values())
        return [answer for answer in answers if answer is not None]

    def describe(self) -> List[Dict[str, Any]]:
        return [watched.describe() for watched in self.all()]

    def sample(self) -> None:
        now = time.monotonic()
        for watched in self.all():
            watched.sample(now)

    def tell_losses(self) -> None:
        """Says in history what is missing from it."""
        for name, count in self._buffer.take_losses().items():
            watched = self.find(name)
            if watched is not None:
                watched.note(
                    reason="events_dropped",
                    detail=f"{count} events dropped: the panel was away for too long",
                )

    def faults(self) -> int:
        return sum(watched.faults for watched in self.all())

    def release(self) -> None:
        for watched in self.all():
            watched.release()

    def after_fork(self, boot: str) -> None:
        self._lock = threading.RLock()
        self._owed = {}
        self.boot = boot
        for watched in self.all():
            watched.after_fork()

    def _emit(self, **fields: Any) -> None:
        # A number of this life is unique within the service, as its boot is.
        self._buffer.add(Event(id=f"{self.boot}-{next(self._numbers)}", **fields))
        self._wake()


def check_name(what: str, value: str) -> None:
    """Names that the server would refuse are refused here, where the mistake is made."""
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_NAME or not value.isprintable():
        raise ValueError(f"{what} must be 1 to {MAX_NAME} printable characters, not {value!r}")
