"""How long a wish takes to be in effect in a whole fleet: one override of a breaker in 2,000 instances.

    python benchmarks/control.py [--agents 2000] [--rounds 20] [--every 15 1] [--asked-for 30] [--rest 10]

Each agent has a socket of its own on `/agent/v1`, at one of two web processes, and presents the same breaker of the
same service. A round begins with a PUT, which forces the breaker open or closed in turn, so that each `applied` is a
state change too. It ends for an instance with the commit of its `applied`, at the time that PostgreSQL itself notes
(`track_commit_timestamp`, read from the row's `xmin` when the round is over): exact but for the fsync, which comes
after that note and takes what the second line says. Before the counted rounds there is one to warm up and an ANALYZE,
for which PostgreSQL would take its minute: until then it plans as if the new fleet were not there. Before each, what
the last one left to be evaluated is.

The peers are as many agents that ask, each 15 s and each 1 s, evenly spread: a bare application on the same server,
in one process, which stores nothing. What they cost while nothing happens is in the same table.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
import uvloop
from rig.agents import BREAKER, SERVICE, Connected, connected
from rig.driver import percentile
from rig.pollers import poll
from rig.report import machine, table
from rig.stack import KEY, Stack, bare, cpu_s, memory_mb, running, until

WEB_PROCESSES = 2
WANTED_MS = 500
PARTS = ("web", "postgres", "worker", "redis")
APPLIED = ("applied p50", "p99", "last")
MEMORY = ("MB of them without", "with", "KB each", "agents / 100 MB")
MODES = ("forced_open", "forced_closed")
_COMMITTED_AT = """
    SELECT extract(epoch FROM pg_xact_commit_timestamp(xmin))::float FROM breaker_instance
    WHERE breaker_id = %s AND applied_revision = %s
"""


@dataclass(frozen=True)
class Round:
    """Milliseconds from the PUT: to its answer, until the last agent was told, to the commit of each `applied`."""

    answered: float
    told: float
    applied: list[float]

    def row(self) -> list[object]:
        return [
            self.answered,
            self.told,
            *(percentile(self.applied, percent) for percent in (50, 99, 100)),
        ]


def keep_commit_times(stack: Stack) -> None:
    """PostgreSQL takes that setting at its start only, so it is stopped; `up` starts it again."""
    with psycopg.connect(stack.superuser_url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET track_commit_timestamp = on")
    before = stack.pid("postgres")
    os.kill(before, signal.SIGINT)

    def is_back() -> bool:
        with suppress(psycopg.OperationalError), psycopg.connect(stack.owner_url) as connection:
            [(kept,)] = connection.execute("SHOW track_commit_timestamp")
            return bool(kept == "on")
        return False

    until(is_back, "PostgreSQL does not keep the times of commits", 60)
    until(lambda: _is_ready(stack), "the web process is not ready", 60)


def _is_ready(stack: Stack) -> bool:
    with suppress(OSError):
        stack.call("GET", "breakers")
        return True
    return False


def override(stack: Stack, agents: Connected, breaker: int, number: int) -> Round:
    """One wish, and what became of it."""
    with psycopg.connect(stack.owner_url, autocommit=True) as connection:
        wish = {"mode": MODES[number % 2], "reason": f"round {number}", "expires_in": 3600}
        sent = time.time()
        revision = stack.call("PUT", f"breakers/{breaker}/override", wish)["revision"]
        answered = time.time()
        told = agents.told()
        if told.revision != revision:
            raise RuntimeError(f"revision {told.revision} was told instead of {revision}")

        def committed() -> list[float]:
            found = connection.execute(_COMMITTED_AT, [breaker, revision]).fetchall()
            return [at for (at,) in found]

        until(lambda: len(committed()) == len(told.at), "not all instances have applied it", 60)
        applied = [(at - sent) * 1e3 for at in committed()]
    return Round((answered - sent) * 1e3, (max(told.at) - sent) * 1e3, applied)


def sockets_of(pid: int) -> int:
    found = 0
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):  # closed a moment ago
            found += str(link.readlink()).startswith("socket:")
    return found


def at_rest(stack: Stack, seconds: float) -> float:
    """Cores that the web processes, PostgreSQL and Redis take while nothing happens but heartbeats."""
    parts = ("web", "postgres", "redis")
    before = sum(cpu_of(stack, part) for part in parts)
    time.sleep(seconds)
    return (sum(cpu_of(stack, part) for part in parts) - before) / seconds


def cpu_of(stack: Stack, part: str) -> float:
    return sum(map(cpu_s, stack.pids(part)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--agents", type=int, default=2000, help="(%(default)s)")
    parser.add_argument("--rounds", type=int, default=20, help="(%(default)s)")
    parser.add_argument(
        "--every", type=float, nargs="*", default=[15.0, 1.0], help="of the peers, in s (15 1)"
    )
    parser.add_argument(
        "--asked-for",
        type=float,
        default=30,
        help="seconds of wishes to the peers, two at least (%(default)s)",
    )
    parser.add_argument("--rest", type=float, default=10, help="seconds (%(default)s)")
    options = parser.parse_args()
    with running(workers=WEB_PROCESSES) as stack:
        keep_commit_times(stack)
        machine(stack)
        rounds, rest = told_at_once(stack, options.agents, options.rounds, options.rest)
        worst = max(rounds, key=lambda one: percentile(one.applied, 99))
        ours = percentile(worst.applied, 99) / 1e3
        rows: list[list[object]] = [
            ["told at once", percentile(worst.applied, 50) / 1e3, ours, 1.0, "-", rest]
        ]
        for every_s in options.every:
            name = f"asking each {every_s:g} s"
            p50, p99, rate, cores = asking(stack, options.agents, every_s, options.asked_for)
            rows.append([name, p50, p99, p99 / ours, f"{rate:,.0f}", cores])
    table(["worst round", "applied p50 s", "p99 s", "ratio", "requests/s", "cores at rest"], rows)


def told_at_once(stack: Stack, size: int, count: int, rest_s: float) -> tuple[list[Round], float]:
    """The rounds, and the cores at rest; prints what there is to say of them and of the memory."""
    webs = stack.pids("web")
    empty, sockets = sum(map(memory_mb, webs)), [sockets_of(pid) for pid in webs]
    began = time.monotonic()
    with connected(stack.port, agents=size, key=KEY) as agents:
        connecting_s = time.monotonic() - began
        [breaker] = stack.call("GET", f"breakers?service={SERVICE}&q={BREAKER}")["items"]
        override(stack, agents, breaker["id"], 0)
        stack.drain()
        with psycopg.connect(stack.superuser_url, autocommit=True) as connection:
            connection.execute("ANALYZE")
        rest = at_rest(stack, rest_s)
        spent_before = {part: cpu_of(stack, part) for part in PARTS}
        rounds = []
        for number in range(1, count + 1):
            time.sleep(random.uniform(0, 1))
            rounds.append(override(stack, agents, breaker["id"], number))
            stack.drain()
        each_ms = [(cpu_of(stack, part) - spent_before[part]) / count * 1e3 for part in PARTS]
        full = sum(map(memory_mb, webs))
        shares = [sockets_of(pid) - before for pid, before in zip(webs, sockets, strict=True)]
        spent = agents.end()
    ordered = sorted(rounds, key=lambda one: percentile(one.applied, 99))
    table(
        [f"{size:,} agents, ms", "PUT answered", "all told", *APPLIED, "wanted p99"],
        [
            [f"{name} of {count} rounds", *ordered[place].row(), WANTED_MS]
            for name, place in (("best", 0), ("median", count // 2), ("worst", -1))
        ],
    )
    table(["CPU ms a round, with what is evaluated after it", *PARTS], [["", *each_ms]])
    each_kb = (full - empty) / size * 1024
    table(
        ["agents", "sockets of each web", "connecting s", *MEMORY],
        [
            [
                size,
                " + ".join(map(str, shares)),
                connecting_s,
                empty,
                full,
                each_kb,
                size / full * 100,
            ]
        ],
    )
    print(f"The agents' own process took {spent.own_cpu_s / spent.took_s:.2f} cores.\n", flush=True)
    return rounds, rest


def asking(
    stack: Stack, size: int, every_s: float, for_s: float
) -> tuple[float, float, float, float]:
    """p50 and p99 in seconds, each of the worst round; requests a second, and cores of the server."""
    with bare("polled", stack.env) as (port, pid):
        many = max(2, int(for_s / every_s / 3))
        before, began = cpu_s(pid), time.monotonic()
        took, rate = uvloop.run(poll(port, agents=size, every_s=every_s, rounds=many))
        cores = (cpu_s(pid) - before) / (time.monotonic() - began)
    p50, p99 = (max(percentile(one, percent) for one in took) for percent in (50, 99))
    return p50, p99, rate, cores


if __name__ == "__main__":
    main()
