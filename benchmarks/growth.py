"""What growth costs: events a second with one web process and with two, of a hundred breakers and of many.

    python benchmarks/growth.py [--events 100000] [--breakers 100000] [--web 1 2]

Each row is a system of its own, in which each breaker has been heard of before the counting begins. `ratio` is
against the first row. On a machine with few cores a second web process competes with PostgreSQL, the worker and the
load for them; CPU for each event tells what it costs wherever it runs.
"""

from __future__ import annotations

import argparse
import time
from statistics import median

import psycopg
from ingest_batch import store
from rig.fleet import Fleet
from rig.report import machine, table
from rig.stack import Stack, cpu_s, memory_mb, running

SIZE, CONNECTIONS = 500, 8
FEW = 100
SERVICES = 200
PAGES = 5
_PARTS = ("web", "postgres", "worker")


def fleet_of(breakers: int) -> Fleet:
    """A hundred breakers in four instances each, or that many of 200 services in one instance each."""
    if breakers <= FEW:
        return Fleet(services=max(1, breakers // 5), breakers=min(5, breakers), instances=4)
    return Fleet(services=SERVICES, breakers=-(-breakers // SERVICES), instances=1)


def measure(stack: Stack, *, breakers: int, events: int) -> list[float]:
    """Events a second, µs of CPU and bytes for each, and what the size costs who looks (a page of 1,000)."""
    lanes = fleet_of(breakers).lanes(CONNECTIONS)
    known = max(breakers * 4 if breakers <= FEW else breakers, CONNECTIONS * SIZE)
    store(stack, lanes, size=SIZE, events=known)
    stack.drain()
    spent = {part: _cpu_s(stack, part) for part in _PARTS}
    with psycopg.connect(stack.owner_url) as connection:
        written_before, kept_before = _sizes(connection)
    tally = store(stack, lanes, size=SIZE, events=events)
    took_s = stack.drain() + tally.took_s
    stored = len(tally.latencies) * SIZE
    costs = [(_cpu_s(stack, part) - spent[part]) / stored * 1e6 for part in _PARTS]
    with psycopg.connect(stack.owner_url) as connection:
        written, kept = _sizes(connection)
    pages = []
    for _ in range(PAGES):
        began = time.perf_counter()
        stack.call("GET", "breakers?limit=1000")
        pages.append((time.perf_counter() - began) * 1e3)
    return [
        stored / tally.took_s,
        stored / took_s,
        *costs,
        (written - written_before) / stored,
        (kept - kept_before) / stored,
        median(pages),
        max(memory_mb(pid) for pid in stack.pids("web")),
    ]


def _sizes(connection: psycopg.Connection) -> tuple[int, int]:
    """Bytes of WAL ever written, and bytes of history with its indexes."""
    row = connection.execute(
        "SELECT pg_current_wal_lsn() - '0/0'::pg_lsn, sum(pg_total_relation_size(inhrelid))"
        " FROM pg_inherits WHERE inhparent = 'event'::regclass"
    ).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


def _cpu_s(stack: Stack, part: str) -> float:
    return sum(map(cpu_s, stack.pids(part)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=int, default=100_000, help="of each row (%(default)s)")
    parser.add_argument("--breakers", type=int, default=100_000, help="at most (%(default)s)")
    parser.add_argument("--web", type=int, nargs="+", default=[1, 2], help="processes (1 and 2)")
    options = parser.parse_args()
    rows: list[list[object]] = []
    first = 0.0
    for workers in options.web:
        for breakers in (FEW, options.breakers):
            with running(workers=workers) as stack:
                if not rows:
                    machine(stack)
                stack.add_rule()
                found = measure(stack, breakers=breakers, events=options.events)
            first = first or found[0]
            rows.append([workers, breakers, found[0], found[0] / first, *found[1:]])
    costs = [f"{part} µs" for part in _PARTS]
    table(
        [
            "web",
            "breakers",
            "stored/s",
            "ratio",
            "evaluated/s",
            *costs,
            "WAL B",
            "kept B",
            "page ms",
            "MB a web",
        ],
        rows,
    )


if __name__ == "__main__":
    main()
