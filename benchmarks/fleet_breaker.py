"""What a fleet breaker spares a dependency, and what it costs callers: beside each instance's own breaker alone,
and beside the shared breaker of the pattern books (one trips, all refuse).

    python benchmarks/fleet_breaker.py [--instances 50] [--seconds 60] [--reset 5]

Real instances (SDK, pybreaker, an agent session each) call one dependency at unlike paces. It is dead for all,
or one node alone cannot reach it, for `--seconds`; then it is well, and the run goes on until all are served.
The shared breaker is a flag in the same Redis that whoever opens sets, and everybody asks before each call.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rig.report import machine, table
from rig.stack import KEY, Stack, running, started

CALLERS = str(Path(__file__).with_name("rig") / "callers.py")
FAIL_MAX = 5
SLOWEST, FASTEST = 1.0, 10.0
"""Calls a second of an instance; the others lie evenly in between."""
SETTLE_S = 2.0
POLICY = {  # and `hold` as long as a breaker's own wait
    "trip": {"percent": 30, "min_instances": 3, "window": 30},
    "probe": {"instances": 1, "successes": 3},
}
MODES = ("own breakers", "shared flag", "fleet breaker")
FAULTS = ("dead for all", "one sick node")


@dataclass(frozen=True)
class Result:
    """One fault under one way of deciding; None: it did not come to that."""

    answered: int
    failed: int
    refused_in_vain: int
    all_refuse_s: float | None
    all_served_s: float | None


class Fleet:
    """The processes of the callers, told the same at the same time."""

    def __init__(self, processes: list[subprocess.Popen[bytes]]) -> None:
        self._processes = processes
        for one in processes:
            self._hear(one, b"ready")

    def tell(self, what: str) -> None:
        for one in self._processes:
            assert one.stdin is not None
            one.stdin.write(what.encode() + b"\n")
            one.stdin.flush()
        if what != "end":
            for one in self._processes:
                self._hear(one, b"done")

    def end(self) -> list[dict]:
        self.tell("end")
        counted = []
        for one in self._processes:
            assert one.stdout is not None
            counted += json.loads(one.stdout.readline())
            one.wait(60)
        return counted

    @staticmethod
    def _hear(process: subprocess.Popen[bytes], word: bytes) -> None:
        assert process.stdout is not None
        said = process.stdout.readline().strip()
        if said != word:
            raise RuntimeError(f"callers said {said!r} instead of {word!r}")


@contextmanager
def fleet_of(
    stack: Stack, service: str, *, instances: int, reset_s: int, shared: bool
) -> Iterator[Fleet]:
    step = (FASTEST - SLOWEST) / max(1, instances - 1)
    named = [(f"{service}-{number:02}", SLOWEST + number * step) for number in range(instances)]
    settings = {
        "url": f"http://127.0.0.1:{stack.port}",
        "redis": stack.redis_url,
        "key": KEY,
        "service": service,
        "shared_by": f"shared-breaker:{service}" if shared else None,
        "fail_max": FAIL_MAX,
        "reset_timeout": reset_s,
    }
    with ExitStack() as all_of_them:
        processes = [
            all_of_them.enter_context(
                started(
                    CALLERS,
                    json.dumps({**settings, "instances": part}),
                    env=stack.env,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    log=None,
                )
            )
            for part in (named[0::2], named[1::2])
            if part
        ]
        yield Fleet(processes)


def measure(
    stack: Stack, mode: str, fault: str, *, instances: int, seconds: float, reset_s: int
) -> Result:
    service = f"orders-{MODES.index(mode)}{FAULTS.index(fault)}"
    policy = None
    if mode == "fleet breaker":
        said = {"name": service, "matchers": [f'service="{service}"'], **POLICY, "hold": reset_s}
        policy = stack.call("POST", "policies", said)
    with fleet_of(
        stack, service, instances=instances, reset_s=reset_s, shared=mode == "shared flag"
    ) as fleet:
        time.sleep(SETTLE_S)
        began = time.time()
        sick = f"{service}-{instances // 2:02}"
        fleet.tell("dead" if fault == FAULTS[0] else f"sick {sick}")
        time.sleep(seconds)
        over = time.time()
        fleet.tell("well")
        wait_until_served(stack, service, within_s=60 + seconds)
        # The shared flag may stand for a breaker's own wait, and the slowest calls once a while.
        time.sleep(reset_s + 1 / SLOWEST)
        counted = fleet.end()
    if policy is not None:
        stack.call("DELETE", f"policies/{policy['id']}")
    hit = [one for one in counted if fault == FAULTS[0] or one["name"] == sick]
    return Result(
        answered=sum(one["answered"] for one in counted),
        failed=sum(one["failed"] for one in counted),
        refused_in_vain=sum(one["refused_in_vain"] for one in counted),
        all_refuse_s=_last([one["protected_at"] for one in hit], began),
        all_served_s=_last([one["served_again_at"] for one in counted], over),
    )


def wait_until_served(stack: Stack, service: str, *, within_s: float) -> None:
    """Until the panel says closed of every instance, and holds none."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        [seen] = stack.call("GET", f"breakers?service={service}")["items"]
        if seen["states"] == {"closed": seen["instances"]} and seen["override"] is None:
            break
        time.sleep(0.2)


def _last(moments: list[float], since: float) -> float | None:
    return None if 0 in moments else max(moments) - since


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--instances", type=int, default=50, help="(%(default)s)")
    parser.add_argument("--seconds", type=float, default=60, help="of each fault (%(default)s)")
    parser.add_argument(
        "--reset", type=int, default=5, help="seconds that a breaker stays open (%(default)s)"
    )
    parser.add_argument("--fault", choices=FAULTS, nargs="+", default=FAULTS, help="(all)")
    options = parser.parse_args()
    results = {}
    with running() as stack:
        machine(stack)
        for fault in options.fault:
            for mode in MODES:
                results[fault, mode] = measure(
                    stack,
                    mode,
                    fault,
                    instances=options.instances,
                    seconds=options.seconds,
                    reset_s=options.reset,
                )
    head = ["failed", "refused in vain", "all refuse s", "all served s", "answered", "ratio"]
    for fault in options.fault:
        own = results[fault, MODES[0]].failed
        print(f"{fault}, {options.instances} instances, {options.seconds:g} s (ratio of failed):")
        table(
            ["", *head],
            [
                [
                    mode,
                    one.failed,
                    one.refused_in_vain,
                    "-" if one.all_refuse_s is None else f"{one.all_refuse_s:.1f}",
                    "-" if one.all_served_s is None else f"{one.all_served_s:.1f}",
                    one.answered,
                    one.failed / own if own else float("nan"),
                ]
                for mode in MODES
                for one in (results[fault, mode],)
            ],
        )


if __name__ == "__main__":
    main()
