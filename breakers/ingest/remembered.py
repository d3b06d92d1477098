"""The breakers that this process wrote or read last, so that it need not read them again before each commit.

A breaker's change number is raised under its lock with every change of what is here. While the number that
the lock finds is the remembered one, nobody else has moved the breaker, and what is remembered is true.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

import msgspec

from breakers.ingest.row import Pair
from breakers.states import Held

# About 1 kB a breaker instance; past this the memory begins afresh.
_PAIRS_MAX = 200_000
# Below the five that `touch_instances` leaves a row alone for.
_SPOKEN_S = 4.0


class Known(msgspec.Struct, frozen=True, gc=False):
    """Of one breaker instance: its state, None where history has none, and the time of its metrics."""

    held: Held | None
    metrics_at: datetime | None


class Seen(NamedTuple):
    """A breaker under lock: its change number, and its target."""

    change: int
    target: str | None


class Breaker(msgspec.Struct):
    """A breaker with those of its instances that are remembered: they were so at that change number."""

    seen: Seen
    instances: dict[int, Known]


_NOTHING = Breaker(Seen(-1, None), {})


class Remembered:
    """Breaker instances by breaker."""

    def __init__(self) -> None:
        self._breakers: dict[int, Breaker] = {}
        self._pairs = 0

    def forget(self) -> None:
        self._breakers.clear()
        self._pairs = 0

    def forget_some(self, breakers: Iterable[int]) -> None:
        """What was noted of them does not hold after all."""
        for breaker in breakers:
            one = self._breakers.pop(breaker, None)
            if one is not None:
                self._pairs -= len(one.instances)

    def of(self, breaker: int) -> Breaker:
        """What is remembered of it, which may be nothing."""
        return self._breakers.get(breaker, _NOTHING)

    def strangers(self, pairs: Iterable[Pair]) -> set[Pair]:
        """Those of which nothing is remembered, whatever the change numbers are."""
        return {pair for pair in pairs if pair[1] not in self.of(pair[0]).instances}

    def known(self, pairs: Iterable[Pair], under_lock: Mapping[int, Seen]) -> dict[Pair, Known]:
        """Those of `pairs` that are known to be so, given the breakers under lock."""
        found = {}
        for pair in pairs:
            one = self.of(pair[0])
            if one.seen.change == under_lock[pair[0]].change and pair[1] in one.instances:
                found[pair] = one.instances[pair[1]]
        return found

    def note(
        self, known: Mapping[Pair, Known], before: Mapping[int, Seen], after: Mapping[int, Seen]
    ) -> None:
        """What a commit leaves behind; where it does not hold after all, it is to be forgotten. `before` are the
        breakers as it found them under lock, `after` those that it changed."""
        if self._pairs + len(known) > _PAIRS_MAX:
            self.forget()
        for (breaker, instance), what in known.items():
            now = after.get(breaker) or before[breaker]
            one = self.of(breaker)
            if one.seen is not now:
                if one.seen.change != before[breaker].change:
                    self._pairs -= len(one.instances)
                    one = self._breakers[breaker] = Breaker(now, {})
                one.seen = now
            self._pairs += instance not in one.instances
            one.instances[instance] = what


class Spoken:
    """Which instances were noted as heard within the last seconds, and need not be again."""

    def __init__(self) -> None:
        self._at: dict[int, float] = {}

    def silent(self, instances: Iterable[int]) -> set[int]:
        """Those to be noted."""
        since = time.monotonic() - _SPOKEN_S
        return {instance for instance in instances if self._at.get(instance, 0.0) < since}

    def note(self, instances: Iterable[int]) -> None:
        """They were noted in a commit that holds."""
        if len(self._at) > _PAIRS_MAX:
            self._at.clear()
        self._at.update(dict.fromkeys(instances, time.monotonic()))

    def forget(self, instances: Iterable[int]) -> None:
        for instance in instances:
            self._at.pop(instance, None)
