"""How many events a second are stored for good, in requests of many, against COPY into a like table.

    python benchmarks/ingest_batch.py [--events 100000]

Events of a fleet of 200 services with 5 breakers each in 4 instances, over HTTP, committed with fsync, one
web process, a worker and one enabled rule. The peer is COPY of the same rows by psycopg, 500 a transaction,
one connection, into a table with the same columns, checks, indexes and partitions in the same server: `rows`
are Python's values, as ours are; `ready` is their text made beforehand, all that the server itself can do.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import psycopg
import uvloop
from rig.driver import Tally, drive, post
from rig.fleet import Fleet, arrays
from rig.report import machine, table
from rig.stack import KEY, Stack, cpu_s, running

SHAPES = ((100, 16), (500, 8))
"""Events a request, connections."""
COPIED = 500
TARGET = 0.4
_COLUMNS = (
    "service_id, event_id, occurred_at, received_at, breaker_id, instance_id, type, from_state, to_state, "
    "natural_state, boot, seq, cause, reason, detail, labels, metrics, library, origin"
)
_PARTS = ("web", "postgres", "worker")
Row = Sequence[Any]


def store(stack: Stack, lanes: Sequence[Iterator[bytes]], *, size: int, events: int) -> Tally:
    """Sends at least `events`; the tally counts requests."""
    each = -(-events // (size * len(lanes)))
    queues = [
        iter([post("/api/v1/events", KEY, body) for body in arrays(lane, size=size, count=each)])
        for lane in lanes
    ]
    expected = f'{{"accepted":{size},"duplicates":0,"rejected":[]}}'.encode()
    tally = uvloop.run(drive(stack.port, queues, expected=expected, within_s=300))
    tally.check()
    return tally


def make_peer(connection: psycopg.Connection) -> None:
    """A table like `event`, with its partitions."""
    connection.execute("DROP TABLE IF EXISTS peer")
    connection.execute(
        "CREATE TABLE peer (LIKE event INCLUDING ALL) PARTITION BY RANGE (occurred_at)"
    )
    for name, bounds in connection.execute(
        "SELECT relname, pg_get_expr(relpartbound, c.oid) FROM pg_class c "
        "JOIN pg_inherits i ON i.inhrelid = c.oid WHERE inhparent = 'event'::regclass"
    ).fetchall():
        connection.execute(f"CREATE TABLE peer_{name} PARTITION OF peer {bounds}")


def copy(
    connection: psycopg.Connection, items: Iterator[Any], write: Callable[[psycopg.Copy, Any], None]
) -> float:
    """Seconds for all of them, 500 a transaction."""
    make_peer(connection)
    began = time.perf_counter()
    while some := list(islice(items, COPIED)):
        with (
            connection.transaction(),
            connection.cursor() as cursor,
            cursor.copy(f"COPY peer ({_COLUMNS}) FROM STDIN") as writer,
        ):
            for item in some:
                write(writer, item)
    return time.perf_counter() - began


def peers(stack: Stack, events: int) -> tuple[float, float]:
    """Events a second of COPY from values and from ready text, of the newest `events` of ours."""
    newest = (
        f"(SELECT {_COLUMNS} FROM event ORDER BY received_at DESC, occurred_at DESC LIMIT {events})"
    )
    with psycopg.connect(stack.owner_url, autocommit=True) as connection:
        # As the program's own values are: JSON is text to the driver.
        columns = _COLUMNS.replace("labels, metrics", "labels::text, metrics::text")
        rows = connection.execute(
            f"SELECT {columns} FROM event ORDER BY received_at DESC, occurred_at DESC LIMIT {events}"
        ).fetchall()
        with connection.cursor().copy(f"COPY {newest} TO STDOUT") as reader:
            lines = b"".join(bytes(part) for part in reader).splitlines(keepends=True)
        copy(connection, iter(rows[: events // 10]), psycopg.Copy.write_row)
        by_rows = copy(connection, iter(rows), psycopg.Copy.write_row)
        ready = copy(connection, iter(lines), psycopg.Copy.write)
    return len(rows) / by_rows, len(lines) / ready


def measure(
    stack: Stack, *, size: int, connections: int, events: int, fleet: Fleet
) -> list[list[object]]:
    lanes = fleet.lanes(connections)
    store(stack, lanes, size=size, events=events // 10)
    stack.drain()
    spent = {part: cpu_s(stack.pid(part)) for part in _PARTS}
    tally = store(stack, lanes, size=size, events=events)
    waiting, age = stack.outbox()
    stored = len(tally.latencies) * size
    spent = {part: cpu_s(stack.pid(part)) - before for part, before in spent.items()}
    drained = stack.drain()
    by_rows, ready = peers(stack, stored)
    ours = stored / tally.took_s
    shape = f"{size} x {connections}"
    figures: list[object] = [shape, ours, by_rows, ours / by_rows, TARGET, ready, ours / ready]
    latencies = [tally.percentile(50) * 1000, tally.percentile(99) * 1000]
    beside: list[object] = [shape, *latencies, waiting, age, drained]
    shares = [spent[part] / tally.took_s for part in _PARTS]
    return [figures, [*beside, *shares, tally.own_cpu_s / tally.took_s]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=int, default=100_000, help="of each shape (%(default)s)")
    options = parser.parse_args()
    with running() as stack:
        machine(stack)
        stack.add_rule()
        fleet = Fleet()
        measured = [
            measure(stack, size=size, connections=connections, events=options.events, fleet=fleet)
            for size, connections in SHAPES
        ]
    table(
        ["requests", "ours/s", "COPY rows/s", "ratio", "target", "COPY ready/s", "ratio"],
        [figures for figures, _ in measured],
    )
    table(
        ["requests", "p50 ms", "p99 ms", "outbox", "oldest s", "drained s", *_cores()],
        [beside for _, beside in measured],
    )


def _cores() -> list[str]:
    return [f"{part} cores" for part in (*_PARTS, "driver")]


if __name__ == "__main__":
    main()
