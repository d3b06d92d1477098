"""How long from sending an event to the frame at a socket that tells of it, at a steady 1,000 events a second.

    python benchmarks/end_to_end.py [--seconds 20] [--per-second 1000] [--sockets 200]

One event a request, at its time whatever the answers do; 1,000 breakers of one instance each, one enabled rule.
All sockets count their frames, and 10 keep them. An event is told by the first frame whose breaker is `since`
its time or a later one; its latency counts from the time at which it was due to be sent.
"""

from __future__ import annotations

import argparse
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import msgspec
import uvloop
from rig.driver import Tally, drive, pace, percentile, post
from rig.fleet import Fleet
from rig.report import machine, table
from rig.sockets import Counted, Frame, watching
from rig.stack import KEY, Stack, running, until

CONNECTIONS = 64
KEPT = 10
LEAD = timedelta(seconds=2)
TARGET_S = 0.15


class Event(msgspec.Struct):
    """Of what was sent: which breaker, and when."""

    service: str
    breaker: str
    occurred_at: datetime


class Summary(msgspec.Struct):
    """Of what was told."""

    service: str
    breaker: str
    since: datetime | None


class Changes(msgspec.Struct):
    changed: list[Summary] = []


Name = tuple[str, str]


def latencies(events: Iterable[Event], frames: Iterable[Frame]) -> tuple[list[float], int]:
    """Seconds from each event to each keeping socket's first frame of it, and how many were never told."""
    told: dict[int, dict[Name, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    decode = msgspec.json.Decoder(Changes).decode
    for frame in frames:
        for one in decode(frame.text).changed:
            if one.since is not None:
                seen = told[frame.socket][one.service, one.breaker]
                if not seen or one.since.timestamp() > seen[-1][0]:
                    seen.append((one.since.timestamp(), frame.at))
    found, missing = [], 0
    for event in events:
        at = event.occurred_at.timestamp()
        for by_breaker in told.values():
            seen = by_breaker[event.service, event.breaker]
            place = bisect_left(seen, (at, 0.0))
            if place == len(seen):
                missing += 1
            else:
                found.append(seen[place][1] - at)
    return found, missing


def run(
    stack: Stack, fleet: Fleet, *, seconds: float, per_second: int, sockets: int, file: Path
) -> tuple[Tally, Counted, list[float], int]:
    count = max(1, int(seconds * per_second))
    with watching(stack.port, sockets=sockets, kept=KEPT, file=file, key=KEY) as watched:
        # Made in advance, so that making them costs nothing while it counts.
        begins = datetime.now(UTC) + LEAD + timedelta(seconds=count / 20_000)
        fleet.set_clock(begins, timedelta(seconds=1 / per_second))
        [lane] = fleet.lanes(1)
        bodies = list(islice(lane, count))
        requests = [post("/api/v1/events", KEY, body) for body in bodies]
        paced = pace(
            stack.port,
            requests,
            begins=begins.timestamp(),
            per_second=per_second,
            connections=CONNECTIONS,
        )
        tally = uvloop.run(paced)
        tally.check()
        settle(stack)
        counted = watched.end()
    frames = msgspec.json.decode(file.read_bytes(), type=list[Frame])
    events = msgspec.json.Decoder(Event)
    found, missing = latencies(map(events.decode, bodies), frames)
    return tally, counted, found, missing


def settle(stack: Stack) -> None:
    """Until the last change has had its second to be told."""

    def is_old() -> bool:
        page = stack.call("GET", "breakers?limit=1000")["items"]
        last = max(datetime.fromisoformat(item["updated_at"]) for item in page)
        return datetime.now(UTC) - last > timedelta(seconds=2)

    until(is_old, "the board does not come to rest", 120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=20, help="of events (%(default)s)")
    parser.add_argument("--per-second", type=int, default=1000, help="events (%(default)s)")
    parser.add_argument("--sockets", type=int, default=200, help="(%(default)s)")
    options = parser.parse_args()
    with running() as stack:
        machine(stack)
        stack.add_rule()
        fleet = Fleet(instances=1)
        warm = [
            iter([post("/api/v1/events", KEY, body) for body in islice(lane, 30)])
            for lane in fleet.lanes(CONNECTIONS)
        ]
        uvloop.run(drive(stack.port, warm, expected=None, within_s=120)).check()
        stack.drain()
        tally, counted, found, missing = run(
            stack,
            fleet,
            seconds=options.seconds,
            per_second=options.per_second,
            sockets=options.sockets,
            file=stack.beside("frames.json"),
        )
        waiting, _ = stack.outbox()
    p99 = percentile(found, 99)
    table(
        ["", "p50 ms", "p99 ms", "target ms", "ratio"],
        [
            [
                "event to frame",
                percentile(found, 50) * 1e3,
                p99 * 1e3,
                TARGET_S * 1e3,
                TARGET_S / p99,
            ],
            ["event to ack", tally.percentile(50) * 1e3, tally.percentile(99) * 1e3, "", ""],
        ],
    )
    sent = len(tally.latencies)
    table(
        ["events", "events/s", "told", "not told", "frames", "frames/s", "outbox", "driver cores"],
        [
            [
                sent,
                sent / tally.took_s,
                len(found),
                missing,
                counted.frames,
                counted.frames / counted.took_s,
                waiting,
                tally.own_cpu_s / tally.took_s,
            ]
        ],
    )


if __name__ == "__main__":
    main()
