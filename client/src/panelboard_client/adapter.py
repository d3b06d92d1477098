"""What a watch over one breaker consists of, whatever its library.

A library's module in `watch/` derives one class from Adapter. Two ways into a library's object
are enough for all of them, and both end without a trace:

- a *shadow* is a method set on the one object in place of its class's. It stays for as long as
  the breaker is watched, so it sits where little happens: where the state moves, a call fails.
- a *gate* is a shadow that is there only while an override stands. It is where calls enter,
  and costs nothing while nothing is ordered.
"""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from panelboard_client import failure
from panelboard_client.wire import FORCED_OPEN

if TYPE_CHECKING:
    from panelboard_client.watched import Watched


@dataclass(frozen=True)
class Force:
    """An override as an adapter puts it into effect."""

    mode: str
    reason: str
    until: Optional[float]
    """Monotonic seconds; None: until told otherwise."""

    @property
    def words(self) -> str:
        """What a refused caller reads."""
        return "Forced open by Panelboard" + (f": {self.reason}" if self.reason else "")


class Counts(NamedTuple):
    """Since the breaker is watched; they only grow."""

    calls: int
    failed: int
    not_permitted: int


class Why(NamedTuple):
    """Why a library changed its state: the protocol's cause, a machine's word, a person's sentence."""

    cause: str
    reason: Optional[str] = None
    detail: Optional[str] = None


BY_SERVICE = Why("manual", "by_service", "moved by the service itself")
SHARED = Why("shared", "shared", "moved by another process that shares the state")


def failures_full(failures: int, most: int, error: Optional[BaseException] = None) -> Why:
    """`error`: the last of them, where it is known."""
    counted = f"{failures} failures in a row, {most} allowed"
    return Why("automatic", "failures", counted + failure.last(error))


def trial_failed(error: Optional[BaseException] = None) -> Why:
    return Why("automatic", "trial_failed", "a trial call failed" + failure.last(error))


def wait_over(seconds: float) -> Why:
    return Why("automatic", "wait_over", f"{seconds:g} s have passed: trial calls go through")


def trials_succeeded(needed: int = 1) -> Why:
    calls = "the trial call" if needed == 1 else f"{needed} trial calls"
    return Why("automatic", "trials_succeeded", f"{calls} succeeded")


class Tally:
    """Counts in guarded calls of any thread: one step of C code, so no lock."""

    def __init__(self) -> None:
        self.counter = itertools.count()
        self.tick: Callable[[], int] = self.counter.__next__
        self._reads = 0

    def read(self) -> int:
        """How often it ticked. One reader at a time."""
        self._reads += 1
        return self.tick() - self._reads + 1

    def take_back(self) -> None:
        """One tick of those was our own."""
        self._reads += 1


class Adapter:
    """One breaker, as the watch over it sees and steers it."""

    distribution = ""
    """The name under which pip knows the library."""

    counted = True
    """Whether counts() says anything."""

    due: Optional[float] = None
    """Monotonic seconds at which the breaker's own state turns without a call; then look()."""

    def __init__(self, breaker: Any) -> None:
        self.library: Optional[str] = _library(self.distribution)
        self.breaker = breaker
        self.calls, self.failures, self.refusals = Tally(), Tally(), Tally()
        self._watched: Any = None
        """The Watched, once attached."""
        self._force: Optional[Force] = None
        self._prober: Optional[int] = None
        self._shadows: List[_Placed] = []
        self._gates: List[_Placed] = []

    # What a library's module says of itself.

    @property
    def name(self) -> Optional[str]:
        """The breaker's own name, if it has one."""
        return getattr(self.breaker, "name", None)

    def attach(self, watched: Watched) -> None:
        """From now on the breaker's life is told to `watched`."""
        self._watched = watched

    def natural(self) -> str:
        """The state that the library itself is in. Reads only; waits for nothing."""
        raise NotImplementedError

    def probe_due_at(self) -> Optional[float]:
        """When the open breaker lets the next call through as a trial: seconds since the epoch;
        None if it does not say. Reads only, in guarded calls too; waits for nothing."""
        return None if self.due is None else time.time() + self.due - time.monotonic()

    def config(self) -> Dict[str, Any]:
        raise NotImplementedError

    def gates(self) -> List[Tuple[Any, str, Any]]:
        """Object, name and method of what stands in a call's way while an override stands."""
        return []

    def refusal(self, force: Force) -> BaseException:
        """The library's own exception."""
        raise NotImplementedError

    def probe(self) -> None:
        """Makes a call that an override to forced_open must refuse."""
        raise NotImplementedError

    def trip(self) -> bool:
        """Opens the breaker, to recover by itself. False: a call held it busy, try again."""
        raise NotImplementedError

    def reset(self) -> bool:
        """Closes the breaker and clears its counters. False: as for trip."""
        raise NotImplementedError

    def look(self) -> None:
        """The time of `due` has come."""

    def mind(self) -> None:
        """The state may have moved; called under the watch's lock."""

    # What is the same for all.

    @property
    def attached(self) -> bool:
        return self._watched is not None

    def same(self, other: Adapter) -> bool:
        """Whether both are of one breaker."""
        return self.breaker is other.breaker

    def counts(self) -> Counts:
        """One reader at a time."""
        return Counts(self.calls.read(), self.failures.read(), self.refusals.read())

    def force(self, force: Optional[Force]) -> None:
        """Puts an override into effect, or ends it (None). At once: waits for no call."""
        self._force = force
        if force is None:
            self._put_back(self._gates)
        elif not self._gates or not all(placed.stands() for placed in self._gates):
            self._put_back(self._gates)
            for holder, name, method in self.gates():
                self._put(self._gates, holder, name, method)

    def forced(self) -> Optional[str]:
        """The mode that a call meets now, read back from the breaker itself."""
        force = self._force
        if force is None or not all(placed.stands() for placed in self._gates):
            return None
        if force.mode == FORCED_OPEN and not self._refuses():
            return None
        return force.mode

    def standing(self) -> Optional[Force]:
        """In a guarded call: the override in force. Ends one whose time has come."""
        force = self._force
        if force is None or force.until is None or time.monotonic() < force.until:
            return force
        if self.probing():
            return force
        self._watched.lapsed(force)
        return self._force

    def probing(self) -> bool:
        """Whether this call is the link's own, to see whether it is refused."""
        return self._prober == threading.get_ident()

    def gate(self) -> Optional[Force]:
        """In a guarded call: raises the library's refusal if the call is to be refused, else
        answers the override that lets it through, or None."""
        force = self.standing()
        if force is not None and force.mode == FORCED_OPEN:
            self.refusals.tick()
            raise self.refusal(force)
        return force

    def reason(self, why: Callable[..., Why], *about: Any) -> Why:
        """What `why` makes of it; in a guarded call nothing of ours may fail."""
        try:
            return why(*about)
        except Exception:
            self._watched.faults += 1
            return Why("unknown")

    def detach(self) -> None:
        """The breaker is as it was before it was watched."""
        self.force(None)
        self._put_back(self._shadows)

    def shadow(self, holder: Any, name: str, method: Any) -> None:
        self._put(self._shadows, holder, name, method)

    def _refuses(self) -> bool:
        """The one proof that counts: a call, and it is refused. It never runs, and waits for
        no lock, so that a slow call under way does not hold it up."""
        force = self._force
        self._prober = threading.get_ident()
        try:
            self.probe()
        except Exception as error:
            if force is None or type(error) is not type(self.refusal(force)):
                raise
            self.refusals.take_back()
            return True
        finally:
            self._prober = None
        return False

    def _put(self, into: List[_Placed], holder: Any, name: str, method: Any) -> None:
        into.append(_Placed(holder, name, method, _own(holder, name)))
        setattr(holder, name, method)

    def _put_back(self, those: List[_Placed]) -> None:
        for placed in reversed(those):
            if not placed.stands():
                continue  # another tool has covered it, and it stays in the middle, idle
            if placed.before is _ABSENT:
                delattr(placed.holder, placed.name)
            else:
                setattr(placed.holder, placed.name, placed.before)
        those.clear()


class _Placed(NamedTuple):
    holder: Any
    name: str
    method: Any
    before: Any

    def stands(self) -> bool:
        return getattr(self.holder, self.name, None) is self.method


_ABSENT = object()


def _own(holder: Any, name: str) -> Any:
    """What is set on the object itself under a name. Without a look into its `__dict__`, for
    that makes CPython keep a real one from then on, and each attribute a quarter slower."""
    found, by_class = getattr(holder, name, _ABSENT), getattr(type(holder), name, _ABSENT)
    inherited = found is by_class or getattr(found, "__func__", found) is by_class
    return _ABSENT if inherited else found


def _library(distribution: str) -> Optional[str]:
    if not distribution:
        return None
    try:
        return f"{distribution} {version(distribution)}"
    except PackageNotFoundError:
        return distribution
