"""Some instances of a service that call one dependency, in a process of their own: `callers.py SETTINGS`.

Each instance is what a real one is: a pybreaker of its own under the SDK, and an agent session. The dependency
is a function that fails when it is told to. What is shared between processes is told on standard input, a line
each: `dead`, `sick NAME`, `well`, `end`; each is answered by a line, the last one by what was counted, as JSON.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from dataclasses import asdict, dataclass

import panelboard_client
import pybreaker
import redis


class Down(Exception):
    """The dependency did not answer."""


@dataclass
class Counted:
    """What became of one instance's calls; times are seconds since 1970, 0: never."""

    name: str
    answered: int = 0
    failed: int = 0
    refused: int = 0
    refused_in_vain: int = 0
    """Refused while the dependency would have answered this instance."""
    protected_at: float = 0
    """The first refusal in this fault."""
    served_again_at: float = 0
    """The first answer after its end."""


class Dependency:
    """Dead for all, or for one, or well."""

    def __init__(self) -> None:
        self.fault: str | None = None
        self.is_over = False

    def answers(self, name: str) -> bool:
        return self.fault not in ("dead", f"sick {name}")


class SharedFlag:
    """The naive shared breaker: whoever opens sets a flag in Redis for as long as a breaker stays open, and
    while it is set all refuse."""

    def __init__(self, url: str, key: str, for_s: float) -> None:
        self._redis, self._key = redis.Redis.from_url(url, socket_timeout=2), key
        self._for_ms = int(for_s * 1000)

    def is_set(self) -> bool:
        return bool(self._redis.exists(self._key))

    def set(self) -> None:
        self._redis.set(self._key, b"1", px=self._for_ms)


class Opens(pybreaker.CircuitBreakerListener):
    def __init__(self, flag: SharedFlag) -> None:
        self._flag = flag

    def state_change(self, cb: object, old_state: object, new_state: object) -> None:
        if getattr(new_state, "name", "") == pybreaker.STATE_OPEN:
            self._flag.set()


class Caller:
    """One instance: calls at its own steady pace, whatever comes of it."""

    def __init__(
        self, settings: dict, name: str, per_second: float, dependency: Dependency
    ) -> None:
        self.counted = Counted(name)
        self._dependency, self._every_s = dependency, 1 / per_second
        self._flag = None
        listeners = []
        if settings["shared_by"]:
            self._flag = SharedFlag(
                settings["redis"], settings["shared_by"], settings["reset_timeout"]
            )
            listeners.append(Opens(self._flag))
        self.panel = panelboard_client.connect(
            url=settings["url"],
            api_key=settings["key"],
            service=settings["service"],
            environment="prod",
            instance=name,
        )
        self._breaker = pybreaker.CircuitBreaker(
            fail_max=settings["fail_max"],
            reset_timeout=settings["reset_timeout"],
            listeners=listeners,
        )
        self.panel.watch(self._breaker, name="catalog", target="catalog")
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join(10)

    def _run(self) -> None:
        due = time.monotonic()
        while not self._over.wait(max(0.0, due - time.monotonic())):
            due += self._every_s
            self._call()

    def _call(self) -> None:
        counted, dependency = self.counted, self._dependency
        reached = False

        def ask() -> None:
            nonlocal reached
            reached = True
            if not dependency.answers(counted.name):
                raise Down

        try:
            if self._flag is not None and self._flag.is_set():
                raise pybreaker.CircuitBreakerError("the shared breaker is open")
            self._breaker.call(ask)
        except (Down, pybreaker.CircuitBreakerError):
            if reached:
                counted.failed += 1
                return
            counted.refused += 1
            if dependency.answers(counted.name):
                counted.refused_in_vain += 1
            if dependency.fault is not None and not counted.protected_at:
                counted.protected_at = time.time()
            return
        counted.answered += 1
        if dependency.is_over and not counted.served_again_at:
            counted.served_again_at = time.time()


def main() -> None:
    settings = json.loads(sys.argv[1])
    dependency = Dependency()
    callers = [Caller(settings, name, rate, dependency) for name, rate in settings["instances"]]
    deadline = time.monotonic() + 60
    while not all(one.panel.connected for one in callers):
        if time.monotonic() > deadline:
            raise TimeoutError("not all instances are connected after 60 s")
        time.sleep(0.05)
    for one in callers:
        one.start()
    print("ready", flush=True)
    for line in sys.stdin:
        told = line.strip()
        if told == "end":
            break
        dependency.is_over = told == "well"
        dependency.fault = None if told == "well" else told
        print("done", flush=True)
    for one in callers:
        one.stop()
    for one in callers:
        one.panel.close()
    print(json.dumps([asdict(one.counted) for one in callers]), flush=True)


if __name__ == "__main__":
    main()
