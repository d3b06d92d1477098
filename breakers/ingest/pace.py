"""How fast each key may send events: a token bucket a key, in the memory of this process."""

from __future__ import annotations

from dataclasses import dataclass

from breakers.access import Actor

EVENTS_PER_SECOND = 20_000
"""For a key that has no figure of its own: about what one process stores at full speed."""


@dataclass(slots=True)
class _Bucket:
    """Events that may come at once as of `at` (monotonic seconds); below zero they were let in on credit."""

    left: float
    at: float


class Pace:
    """A key's bucket holds as many events as it may send in a second, and fills at that rate.

    A batch that is larger than the whole bucket is let in by a full one, and paid off afterwards. `now` is
    monotonic, in seconds.
    """

    def __init__(self) -> None:
        self._buckets: dict[int, _Bucket] = {}

    def take(self, actor: Actor, events: int, *, now: float) -> float:
        """0 where they may come; else the seconds until they may, and nothing is taken."""
        bucket, rate = self._filled(actor, now)
        short = min(events, rate) - bucket.left
        if events and short > 0:
            return short / rate
        bucket.left -= events
        return 0.0

    def owe(self, actor: Actor, events: int, *, now: float) -> float:
        """Takes them in any case; the seconds to wait before the next."""
        bucket, rate = self._filled(actor, now)
        bucket.left -= events
        return max(0.0, -bucket.left / rate)

    def _filled(self, actor: Actor, now: float) -> tuple[_Bucket, int]:
        rate = actor.events_per_second or EVENTS_PER_SECOND
        bucket = self._buckets.get(actor.id)
        if bucket is None:
            bucket = self._buckets[actor.id] = _Bucket(rate, now)
        bucket.left = min(rate, bucket.left + (now - bucket.at) * rate)
        bucket.at = now
        return bucket, rate
