"""The parts of the system as a table: how each is started, asked and ended."""

from __future__ import annotations

import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import redis

from dashboard.signs import KEY_PREFIX, sign_of
from dashboard.supervisor.postgres import Cluster
from dashboard.supervisor.process import Launch
from dashboard.supervisor.redis import Store

ROOT = Path(__file__).resolve().parent.parent.parent
_ASK_S = 3.0

Ending = tuple[tuple[signal.Signals, float], ...]
"""Signals in order, each with the seconds it is given; after the last comes SIGKILL."""


@dataclass(frozen=True)
class Part:
    """One process of the system."""

    name: str
    launch: Callable[[], Launch]
    answers: Callable[[int], bool | None]
    """Given its process id: whether it does its work; None: this cannot be told. Runs in a thread and takes seconds at
    most."""
    ending: Ending = ((signal.SIGTERM, 20.0),)
    slow_s: float = 30.0
    """Silence after its start that is worth a line."""
    may_be_killed: bool = True
    goes_on_answering: bool = False
    """Whether its silence, later on, means that it does nothing any more."""


@dataclass(frozen=True)
class Program:
    """How our own processes are started."""

    env: dict[str, str]
    fd: int
    """The listening web socket."""
    url: str
    """Where that socket is reached from this machine."""
    redis_url: str

    def manage(self, *arguments: str, fds: tuple[int, ...] = ()) -> Launch:
        return self.python(str(ROOT / "manage.py"), *arguments, fds=fds)

    def python(
        self,
        *arguments: str,
        fds: tuple[int, ...] = (),
        orphan_signal: signal.Signals = signal.SIGKILL,
    ) -> Launch:
        return Launch(
            command=(sys.executable, *arguments),
            env=self.env,
            cwd=ROOT,
            keep_fds=fds,
            orphan_signal=orphan_signal,
        )


def postgres(cluster: Cluster) -> Part:
    """Fast shutdown first, immediate (recovery at the next start) if it hangs; never SIGKILL by impatience."""
    return Part(
        "postgres",
        cluster.launch,
        lambda pid: cluster.answers(),
        ending=((signal.SIGINT, 60.0), (signal.SIGQUIT, 20.0)),
        may_be_killed=False,
    )


def store(found: Store) -> Part:
    return Part("redis", found.launch, lambda pid: found.answers(), may_be_killed=False)


def web(program: Program, *, workers: int) -> list[Part]:
    """Each a process of its own on one shared socket, so that each is kept running by itself."""
    names = ["web"] if workers == 1 else [f"web.{number}" for number in range(1, workers + 1)]
    return [
        Part(
            name,
            lambda: program.manage("web", "--fd", str(program.fd), fds=(program.fd,)),
            lambda pid: answers_http(f"{program.url}/healthz"),
        )
        for name in names
    ]


def worker(program: Program) -> Part:
    return _by_sign(program, "worker")


def beat(program: Program) -> Part:
    return _by_sign(program, "beat")


def _by_sign(program: Program, role: str) -> Part:
    return Part(
        role,
        lambda: program.manage(role),
        lambda pid: gives_sign(program, role, pid),
        goes_on_answering=True,
    )


def demo(program: Program, systems: tuple[str, ...], announced: Path) -> Part:
    """It ends its own children on SIGTERM, also when this program is killed, and writes the file `announced`
    once it serves."""

    def launch() -> Launch:
        announced.unlink(missing_ok=True)
        return program.python("-m", "demo.run", *systems, orphan_signal=signal.SIGTERM)

    return Part("demo", launch, lambda pid: announced.exists())


def gives_sign(program: Program, role: str, pid: int) -> bool | None:
    """Whether this very process has given its sign of life; None where Redis cannot be asked, or takes none."""
    try:
        with redis.Redis.from_url(
            program.redis_url, socket_timeout=_ASK_S, socket_connect_timeout=_ASK_S
        ) as client:
            client.set(f"{KEY_PREFIX}asked", pid, px=1000)
            return bool(client.exists(sign_of(role, pid=pid)))
    except redis.RedisError:
        return None


def answers_http(url: str) -> bool:
    """Whether the URL answers 200."""
    try:
        with urllib.request.urlopen(url, timeout=_ASK_S) as answer:  # noqa: S310  # our own http URL
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError, ValueError):
        return False
