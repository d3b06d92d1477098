"""Whether a web process and a worker hold more memory the longer they work: they should not.

    python benchmarks/memory.py [--minutes 30] [--rounds 12]

Events at a steady rate, one enabled rule, and sockets that all leave and come back twelve times over the run.
`ratio` is the mean of the last quarter against that of the second: the first fills caches, pools and tables of
names, and what grows for ever grows on after it.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice

import uvloop
from rig.driver import pace, post
from rig.fleet import Fleet
from rig.report import machine, table
from rig.sockets import watching
from rig.stack import KEY, Stack, memory_mb, running

CONNECTIONS = 8
TARGET = 1.05
SAMPLE_EVERY_S = 2.0
_PARTS = ("web", "worker", "postgres", "redis")


class Samples:
    """Megabytes of each part, from time to time."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.of: dict[str, list[float]] = {part: [] for part in _PARTS}

    @contextmanager
    def taken(self, every_s: float) -> Iterator[None]:
        """In a thread of its own, for as long as this lasts."""
        over = threading.Event()

        def take() -> None:
            while not over.wait(every_s):
                for part, sizes in self.of.items():
                    sizes.append(memory_mb(self._stack.pid(part)))

        thread = threading.Thread(target=take)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def load(
    stack: Stack, fleet: Fleet, *, rounds: int, seconds: float, per_second: int, sockets: int
) -> int:
    """Rounds of events, each with sockets of its own; how many events were stored."""
    [lane] = fleet.lanes(1)
    each, stored = max(1, int(seconds / rounds * per_second)), 0
    for _ in range(rounds):
        with watching(stack.port, sockets=sockets, kept=0, file=stack.beside("frames"), key=KEY):
            begins = datetime.now(UTC) + timedelta(seconds=0.5 + each / 20_000)
            fleet.set_clock(begins, timedelta(seconds=1 / per_second))
            requests = [post("/api/v1/events", KEY, body) for body in islice(lane, each)]
            tally = uvloop.run(
                pace(
                    stack.port,
                    requests,
                    begins=begins.timestamp(),
                    per_second=per_second,
                    connections=CONNECTIONS,
                )
            )
            tally.check()
            stored += len(tally.latencies)
    return stored


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=30, help="(%(default)s)")
    parser.add_argument("--rounds", type=int, default=12, help="of sockets (%(default)s)")
    parser.add_argument("--per-second", type=int, default=300, help="events (%(default)s)")
    parser.add_argument("--sockets", type=int, default=50, help="at a time (%(default)s)")
    options = parser.parse_args()
    with running() as stack:
        machine(stack)
        stack.add_rule()
        samples = Samples(stack)
        seconds = options.minutes * 60
        began = time.monotonic()
        with samples.taken(min(SAMPLE_EVERY_S, seconds / 20)):
            stored = load(
                stack,
                Fleet(),
                rounds=options.rounds,
                seconds=seconds,
                per_second=options.per_second,
                sockets=options.sockets,
            )
        took_s = time.monotonic() - began
    quarters = {
        part: [_mean(some) for some in _quarters(sizes)] for part, sizes in samples.of.items()
    }
    table(
        ["MB", "1st quarter", "2nd", "3rd", "last", "ratio", "target"],
        [[part, *means, means[3] / means[1], TARGET] for part, means in quarters.items()],
    )
    table(
        ["events", "minutes", "sockets"], [[stored, took_s / 60, options.rounds * options.sockets]]
    )


def _quarters(sizes: list[float]) -> list[list[float]]:
    return [sizes[len(sizes) * n // 4 : len(sizes) * (n + 1) // 4] for n in range(4)]


def _mean(sizes: list[float]) -> float:
    return sum(sizes) / len(sizes) if sizes else float("nan")


if __name__ == "__main__":
    main()
