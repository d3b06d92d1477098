"""A fleet whose breakers open, probe and close: its events, encoded, in the order in which they happen.

A lane is a part of the fleet's instances, as one gateway or one agent speaks for some of them: the events
of an instance go over one connection, in order.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice

import msgspec

_DOMAINS = ("orders", "payments", "catalog", "search", "users", "shipping", "pricing", "media")
_ROLES = ("api", "worker", "gateway", "sync", "stream")
_REGIONS = ("eu1", "eu2", "us1", "us2", "ap1")
_TARGETS = ("postgres-main", "payments-provider", "session-cache", "events-queue", "search-index")
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_NEXT = {"closed": "open", "open": "half_open", "half_open": "closed"}
_WHY = {"open": "failure_rate", "half_open": "wait_over", "closed": "probes_succeeded"}
_encode = msgspec.json.Encoder().encode


@dataclass
class _Inside:
    """A breaker instance between two events."""

    service: str
    instance: str
    breaker: str
    boot: str
    state: str = "closed"
    seq: int = 0


class Fleet:
    """By default (and at most) 200 services with 5 breakers each, in 4 instances: 4,000 breaker instances."""

    def __init__(
        self, *, services: int = 200, breakers: int = 5, instances: int = 4, seed: int = 1
    ) -> None:
        chance = random.Random(seed)
        self._chance = chance
        names = [f"{a}-{b}-{c}" for a in _DOMAINS for b in _ROLES for c in _REGIONS]
        self.services = names[:services]
        self.breakers = [
            _TARGETS[number] if number < len(_TARGETS) else f"partner-{number}"
            for number in range(breakers)
        ]
        self._processes = [
            self._process(service, f"{service}-{_letters(chance, 9)}-{_letters(chance, 5)}")
            for service in self.services
            for _ in range(instances)
        ]
        # Long enough ago that no event is ahead of the clock, recent enough for one partition or two.
        self.set_clock(datetime.now(UTC) - timedelta(hours=1), timedelta(microseconds=100))

    def set_clock(self, first: datetime, step: timedelta) -> None:
        """The time of the next event, and from one event to the next."""
        self._next_at, self._step = first, step

    def _process(self, service: str, instance: str) -> list[_Inside]:
        boot = uuid.uuid4().hex
        return [_Inside(service, instance, breaker, boot) for breaker in self.breakers]

    def longest_lane(self, count: int) -> int:
        """Breaker instances of the longest of so many lanes: so many of its events speak of each once."""
        return -(-len(self._processes) // count) * len(self.breakers)

    def lanes(self, count: int) -> list[Iterator[bytes]]:
        """Endless events, each lane's for instances of its own; of earlier lanes no more may be taken."""
        lanes: list[list[_Inside]] = [[] for _ in range(count)]
        for number, process in enumerate(self._processes):
            lanes[number % count] += process
        return [self._events(lane) for lane in lanes]

    def _events(self, lane: list[_Inside]) -> Iterator[bytes]:
        chance = self._chance
        while True:
            chance.shuffle(lane)
            for inside in lane:
                before, inside.state = inside.state, _NEXT[inside.state]
                inside.seq += 1
                at, self._next_at = self._next_at, self._next_at + self._step
                calls = chance.randrange(50, 500)
                failed = calls * chance.randrange(50, 100) // 100 if before == "closed" else 0
                yield _encode(
                    {
                        "service": inside.service,
                        "environment": "prod",
                        "instance": inside.instance,
                        "breaker": inside.breaker,
                        "target": inside.breaker,
                        "from": before,
                        "to": inside.state,
                        "id": str(uuid.uuid4()),
                        "occurred_at": at,
                        "boot": inside.boot,
                        "seq": inside.seq,
                        "cause": "automatic",
                        "reason": _WHY[inside.state],
                        "metrics": {
                            "calls": calls,
                            "failed": failed,
                            "not_permitted": 0,
                            "failure_rate": round(failed * 100 / calls, 2),
                            "p50_ms": chance.randrange(20, 900) / 10,
                            "p99_ms": chance.randrange(900, 9000) / 10,
                            "window": 60,
                        },
                    }
                )


def arrays(lane: Iterator[bytes], *, size: int, count: int) -> list[bytes]:
    """`count` JSON arrays of `size` events."""
    return [b"[" + b",".join(islice(lane, size)) + b"]" for _ in range(count)]


def _letters(chance: random.Random, length: int) -> str:
    return "".join(chance.choices(_LETTERS, k=length))
