"""How much longer reading takes with 10 million events behind it than with 100 thousand.

    python benchmarks/history.py [--events 10000000]

Both histories cover 90 days of the same 1,000 breakers, written by COPY straight into the partitions of one
database: first the few, then the rest. The report reads the span that holds as many events in both (90 days of
the few, a hundredth of that of the many), for what it must read is its own affair; what lies around it is not.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
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
_REPORT = """
    SELECT breaker_id, count(*) FILTER (WHERE to_state = 'open'), count(*), min(occurred_at), max(occurred_at)
    FROM event
    WHERE breaker_id = ANY(%s) AND type = 'state_change' AND occurred_at >= %s AND occurred_at < %s
    GROUP BY breaker_id
"""
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
    middle = (ends - timedelta(days=DAYS / 2)).strftime("%Y-%m-%dT%H:%M:%SZ")
    paths = {
        "newest events of a breaker": [f"breakers/{id}/events?limit=50" for id in breakers],
        "its events 45 days ago": [
            f"breakers/{id}/events?limit=20&until={middle}" for id in breakers
        ],
        "the board's first page": ["breakers?limit=100"],
    }
    took = {what: requested(stack, some, rounds) for what, some in paths.items()}
    since = ends - timedelta(days=DAYS) * few / events
    services: dict[int, set[int]] = {}
    for service, breaker, _ in places:
        services.setdefault(service, set()).add(breaker)
    spans = itertools.cycle([[sorted(ids), since, ends] for ids in services.values()])
    with closing(psycopg.connect(stack.owner_url, autocommit=True)) as connection:
        took["openings of a service"] = timed(
            lambda: connection.execute(_REPORT, next(spans)).fetchall(), rounds
        )
    return took


def requested(stack: Stack, paths: Sequence[str], rounds: int) -> float:
    requests = [get(f"/api/v1/{path}", KEY) for path in paths]
    for times in (len(requests), rounds):  # the first is to warm up
        queue = itertools.islice(itertools.cycle(requests), times)
        tally = uvloop.run(drive(stack.port, [queue], expected=None, within_s=120))
        tally.check()
    return tally.percentile(50) * 1000


def timed(call: Callable[[], object], rounds: int) -> float:
    took = []
    for _ in range(rounds * 2):
        began = time.perf_counter()
        call()
        took.append(time.perf_counter() - began)
    return statistics.median(took[rounds:]) * 1000


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
