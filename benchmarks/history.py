"""How much longer reading takes with 10 million events behind it than with 100 thousand.

    python benchmarks/history.py [--events 10000000]

Both histories cover 90 days of the same 1,000 breakers, written by COPY straight into the partitions of one
database: first the few, then the rest. Reports are read of the last day, which is to be summed up from a hundred
times as many events of the many; and of the span that ends in the middle and holds as many in both, for what a report
must sum up is its own affair, and what lies around it is not.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import psycopg
import uvloop
from rig.driver import drive, get, post
from rig.fleet import Fleet, arrays
from rig.report import machine, table
from rig.stack import KEY, Stack, running

FEW = 100_000
DAYS = 90
LIMIT = 1.5
BREAKERS = 20
"""Read in turn, so that not one page alone is warm."""
_COLUMNS = (
    "service_id, event_id, occurred_at, breaker_id, instance_id, type, from_state, to_state, boot, seq, cause, "
    "reason, metrics, origin"
)
Place = tuple[int, int, int]
"""Service, breaker and instance."""


def seed(
    stack: Stack, places: Sequence[Place], *, events: int, ends: datetime, first: int
) -> float:
    """Adds so many events, even over 90 days before `ends`; the seconds it took."""
    began = time.perf_counter()
    begins = ends - timedelta(days=DAYS)
    step = timedelta(days=DAYS) / events
    with psycopg.connect(stack.superuser_url, autocommit=True) as connection:
        for start, end in weeks(begins, ends):
            connection.execute("SELECT ensure_partition('event', %s)", [start])
            low, high = (-(-(at - begins) // step) for at in (max(start, begins), min(end, ends)))
            partition = f"event_{start:%Y%m%d}"
            with connection.cursor().copy(f"COPY {partition} ({_COLUMNS}) FROM STDIN") as copy:
                lines = rows(places, range(low, high), begins, step, first)
                while some := "".join(itertools.islice(lines, 2000)):
                    copy.write(some)
        connection.execute("VACUUM (ANALYZE) event")
        connection.execute("CHECKPOINT")
    return time.perf_counter() - began


def weeks(begins: datetime, ends: datetime) -> Iterator[tuple[datetime, datetime]]:
    """The partitions that hold the time from `begins` to `ends`."""
    start = (begins - timedelta(days=begins.weekday())).replace(
        hour=0, minute=0, second=0, microsecond=0
    )
    while start < ends:
        yield start, start + timedelta(weeks=1)
        start += timedelta(weeks=1)


def rows(
    places: Sequence[Place], numbers: range, begins: datetime, step: timedelta, first: int
) -> Iterator[str]:
    """Lines of COPY."""
    chance = random.Random(first + numbers.start)
    metrics = json.dumps(
        {"calls": 240, "failed": 151, "failure_rate": 62.92, "p99_ms": 412.5, "window": 60}
    )
    moves = ("closed\topen", "open\thalf_open", "half_open\tclosed")
    for number in numbers:
        service, breaker, instance = places[chance.randrange(len(places))]
        at = (begins + number * step).isoformat()
        yield (
            f"{service}\t{chance.getrandbits(128):032x}\t{at}\t{breaker}\t{instance}\tstate_change\t"
            f"{moves[number % 3]}\t\\N\t\\N\tautomatic\tfailure_rate\t{metrics}\tagent\n"
        )


def read(
    stack: Stack, places: Sequence[Place], *, events: int, few: int, ends: datetime, rounds: int
) -> dict[str, float]:
    """Milliseconds of each reading (median)."""
    breakers = sorted({breaker for _, breaker, _ in places})[:BREAKERS]
    half = ends - timedelta(days=DAYS / 2)
    middle = instant(half)
    # Half of what the few are, and as much of the many.
    like = f"since={instant(half - timedelta(days=DAYS / 2) * few / events)}&until={middle}"
    services = names_of(stack)[:BREAKERS]
    paths = {
        "newest events of a breaker": [f"breakers/{id}/events?limit=50" for id in breakers],
        "its events 45 days ago": [
            f"breakers/{id}/events?limit=20&until={middle}" for id in breakers
        ],
        "the board's first page": ["breakers?limit=100"],
        "report of a breaker, its last day": [f"breakers/{id}/report" for id in breakers],
        "the same of as many events": [f"breakers/{id}/report?{like}" for id in breakers],
        "report of a service, its last day": [
            f"reports?by=service&service={name}" for name in services
        ],
        "the same of as many events ": [
            f"reports?by=service&service={name}&{like}" for name in services
        ],
    }
    return {what: requested(stack, some, rounds) for what, some in paths.items()}


def instant(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def names_of(stack: Stack) -> list[str]:
    """Services."""
    with psycopg.connect(stack.owner_url) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM service ORDER BY id")]


def requested(stack: Stack, paths: Sequence[str], rounds: int) -> float:
    requests = [get(f"/api/v1/{path}", KEY) for path in paths]
    for times in (len(requests), rounds):  # the first is to warm up
        queue = itertools.islice(itertools.cycle(requests), times)
        tally = uvloop.run(drive(stack.port, [queue], expected=None, within_s=120))
        tally.check()
    return tally.percentile(50) * 1000


def introduce(stack: Stack) -> list[Place]:
    """The fleet, each breaker instance by one event of today."""
    fleet = Fleet()
    [lane] = fleet.lanes(1)
    requests = [post("/api/v1/events", KEY, body) for body in arrays(lane, size=500, count=8)]
    uvloop.run(drive(stack.port, [iter(requests)], expected=None, within_s=120)).check()
    stack.drain()
    with psycopg.connect(stack.owner_url) as connection:
        return connection.execute(
            "SELECT b.service_id, b.id, bi.instance_id FROM breaker b "
            "JOIN breaker_instance bi ON bi.breaker_id = b.id ORDER BY 2, 3"
        ).fetchall()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=int, default=10_000_000, help="the many (%(default)s)")
    parser.add_argument("--rounds", type=int, default=200, help="of each reading (%(default)s)")
    options = parser.parse_args()
    few, many = min(FEW, options.events // 2), options.events
    with running() as stack:
        machine(stack)
        places = introduce(stack)
        ends = datetime.now(UTC) - timedelta(hours=2)
        measured = []
        for total, more in ((few, few), (many, many - few)):
            took = seed(stack, places, events=more, ends=ends, first=total)
            print(f"{more:,} events in {took:.0f} s", flush=True)
            measured.append(
                read(stack, places, events=total, few=few, ends=ends, rounds=options.rounds)
            )
    print()
    before, after = measured
    table(
        ["median ms", f"at {few:,}", f"at {many:,}", "ratio", "at most"],
        [[what, before[what], after[what], after[what] / before[what], LIMIT] for what in before],
    )


if __name__ == "__main__":
    main()
