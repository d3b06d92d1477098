"""What it costs to tell 300 sockets of each change, against a loop that only writes the same frames to them.

    python benchmarks/fanout.py [--sockets 300] [--seconds 10]

The sockets are a second web process's, so that its CPU is that of telling alone; events go to the first. The
peer is a bare application on the same server with the same settings, given the very frames that one of the
sockets received: at their pace, and at once. A frame goes out each 50 ms at most, so ours cannot be hurried:
what it could do is told by the frames for a second of its CPU.
"""

from __future__ import annotations

import argparse
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import uvloop
from rig.driver import pace, post
from rig.fleet import Fleet, arrays
from rig.report import machine, table
from rig.sockets import Counted, watching
from rig.stack import KEY, Stack, bare, cpu_s, free_port, running, started, until

REQUESTS = 20
"""A second; each of so many events that the changes are told in full frames."""
EVENTS = 20
TARGET = 0.8
TICK_S = 0.01
"""What the kernel counts CPU in; less than one cannot be seen."""


@contextmanager
def second_web(stack: Stack) -> Iterator[tuple[int, int]]:
    """Port and process of a web process that takes no events."""
    port, log = free_port(), stack.beside("web.log")
    with started("manage.py", "web", "--port", str(port), env=stack.env, log=log) as process:

        def answers() -> bool:
            if process.poll() is not None:
                raise RuntimeError(log.read_text()[-4000:])
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
                    return True
            except OSError:
                return False

        until(answers, "the second web process does not answer", 60)
        yield port, process.pid


def counted(
    port: int, pid: int, *, sockets: int, file: Path, during: Callable[[], object]
) -> tuple[Counted, float]:
    """What the sockets receive while `during` runs, and the CPU seconds of the process meanwhile."""
    with watching(port, sockets=sockets, kept=1, file=file, key=KEY) as watched:
        before = cpu_s(pid)
        during()
        result = watched.end()
        return result, max(TICK_S, cpu_s(pid) - before)


def changes(port: int, fleet: Fleet, seconds: float) -> Callable[[], None]:
    """Steady changes, made beforehand and sent when called."""
    [lane] = fleet.lanes(1)
    count = max(1, int(seconds * REQUESTS))
    requests = [
        post("/api/v1/events", KEY, body) for body in arrays(lane, size=EVENTS, count=count)
    ]

    def send() -> None:
        steady = pace(port, requests, begins=time.time(), per_second=REQUESTS, connections=4)
        uvloop.run(steady).check()

    return send


def row(name: str, result: Counted, cpu: float) -> list[object]:
    megabytes = result.bytes / 1e6 / result.took_s
    rate = result.frames / result.took_s
    per_frame = cpu / result.frames
    reading = result.own_cpu_s / result.took_s
    return [name, result.frames, rate, megabytes, cpu, per_frame * 1e6, 1 / per_frame, reading]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sockets", type=int, default=300, help="(%(default)s)")
    parser.add_argument("--seconds", type=float, default=10, help="of changes (%(default)s)")
    options = parser.parse_args()
    with running() as stack:
        machine(stack)
        fleet = Fleet()
        file, spare = stack.beside("frames.json"), stack.beside("spare.json")
        with second_web(stack) as (port, pid):
            for seconds, kept in ((1.0, spare), (options.seconds, file)):  # the first is to warm up
                send = changes(stack.port, fleet, seconds)
                ours, ours_cpu = counted(port, pid, sockets=options.sockets, file=kept, during=send)
        with bare("live", stack.env, str(file)) as (port, pid):
            peers = []
            for path in ("at_once", "at_their_pace", "at_once"):

                def replay(url: str = f"http://127.0.0.1:{port}/{path}") -> None:
                    with urllib.request.urlopen(url, timeout=300):
                        pass

                peers.append(counted(port, pid, sockets=options.sockets, file=spare, during=replay))
    if any(peer.socket_frames != [ours.socket_frames[0]] * options.sockets for peer, _ in peers):
        raise RuntimeError("not each socket of the bare application had each frame once")
    rows = [
        row("Panelboard", ours, ours_cpu),
        row("bare, at their pace", *peers[1]),
        row("bare, at once", *peers[2]),
    ]
    table(
        ["", "frames", "frames/s", "MB/s", "CPU s", "us/frame", "frames/CPU s", "reader cores"],
        rows,
    )
    delivered = (ours.frames / ours.took_s) / (peers[1][0].frames / peers[1][0].took_s)
    worth = (ours.frames / ours_cpu) / (peers[1][0].frames / peers[1][1])
    table(
        ["ours against bare at the same pace", "ratio", "target"],
        [["frames/s delivered", delivered, TARGET], ["frames for a second of CPU", worth, TARGET]],
    )


if __name__ == "__main__":
    main()
