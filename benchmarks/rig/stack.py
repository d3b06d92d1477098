"""The whole system as `manage.py up` starts it, on free loopback ports and a data directory of its own.

fsync stays on: what is measured are commits that are on the disk.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from dashboard.supervisor.process import Launch, spawn_options  # noqa: E402 - found by the line above

KEY = "pb_a_key_of_the_benchmarks_alone"
RUNNING = "PANELBOARD_BENCHMARK_STACK"
"""Names the data directory of a system that runs already, with that key: what is measured on it is worth less."""
START_S, STOP_S, DRAIN_S = 120, 90, 300
_SET_BY_US = ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE")


@dataclass(frozen=True)
class Stack:
    """A running system with its web process or processes, a worker and beat."""

    data_dir: Path
    env: dict[str, str]

    @property
    def _run(self) -> dict[str, Any]:
        return dict(json.loads((self.data_dir / "run.json").read_text()))

    @property
    def port(self) -> int:
        return int(self._run["url"].rpartition(":")[2])

    @property
    def owner_url(self) -> str:
        """The database as the role that owns the tables."""
        return str(self._run["database_owner_url"])

    @property
    def superuser_url(self) -> str:
        """The same database as the superuser."""
        kept = json.loads((self.data_dir / "postgresql.json").read_text())
        _, _, place = self.owner_url.rpartition("@")
        return f"postgresql://postgres:{kept['superuser']}@{place}"

    @property
    def redis_url(self) -> str:
        return str(self._run["redis_url"])

    def beside(self, name: str) -> Path:
        """A file beside the data directory, removed with it."""
        return self.data_dir.with_name(name)

    def pid(self, part: str) -> int:
        """The process of postgres, redis, web, worker or beat."""
        return int(self._run["parts"][part])

    def pids(self, part: str) -> list[int]:
        """Those of `web` where there are several, else the one."""
        return [
            int(pid)
            for name, pid in self._run["parts"].items()
            if name == part or name.startswith(f"{part}.")
        ]

    def call(self, method: str, path: str, body: object = None) -> Any:
        """A call of the API with a key of all scopes; raises for every answer but 2xx."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/v1/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            said = answer.read()
            return json.loads(said) if said else None

    def lift_bounds(self) -> None:
        """What a key may send and name is not what is measured."""
        with psycopg.connect(self.owner_url) as connection:
            connection.execute(
                "UPDATE api_key SET events_per_second = 10000000, names_max = 10000000"
            )

    def add_rule(self) -> None:
        """One enabled rule, so that evaluation has something to judge."""
        rule = {"name": "a breaker opened", "kind": "opened", "params": {}, "matchers": []}
        self.call("POST", "rules", {**rule, "severity": "critical", "channels": []})

    def outbox(self) -> tuple[int, float]:
        """Rows that wait to be evaluated, and the age of the oldest in seconds (nothing: 0)."""
        with psycopg.connect(self.owner_url) as connection:
            row = connection.execute(
                "SELECT count(*), coalesce(extract(epoch FROM now() - min(committed_at)), 0) FROM outbox"
            ).fetchone()
        assert row is not None
        return int(row[0]), float(row[1])

    def drain(self) -> float:
        """Seconds until all that was committed is evaluated."""
        began = time.monotonic()
        until(lambda: self.outbox()[0] == 0, "the outbox is not empty", DRAIN_S)
        return time.monotonic() - began


@contextmanager
def running(*, workers: int = 1) -> Iterator[Stack]:
    """Started and ready, with this many web processes; stopped and removed afterwards, however the measuring ended."""
    if workers == 1 and RUNNING in os.environ:
        found = os.environ[RUNNING]
        stack = Stack(Path(found), {**os.environ, "PANELBOARD_DATA_DIR": found})
        stack.lift_bounds()
        yield stack
        return
    with tempfile.TemporaryDirectory(prefix="panelboard-benchmark-") as folder:
        data_dir = Path(folder) / "data"
        env = {
            name: value
            for name, value in os.environ.items()
            if name not in _SET_BY_US and not name.startswith("PANELBOARD_")
        }
        env |= {"PANELBOARD_DATA_DIR": str(data_dir), "PANELBOARD_BOOTSTRAP_KEY": KEY}
        log = Path(folder) / "up.log"
        up = ("manage.py", "up", "--port", "0", "--workers", str(workers))
        with started(*up, env=env, log=log) as made:

            def is_ready() -> bool:
                if made.poll() is not None:
                    raise RuntimeError(f"up ended:\n{log.read_text()[-4000:]}")
                return bool(re.search("^Panelboard is ready at ", log.read_text(), re.MULTILINE))

            until(is_ready, "up is not ready", START_S)
            stack = Stack(data_dir, env)
            stack.lift_bounds()
            yield stack


def started(*arguments: str, **how: Any) -> AbstractContextManager[subprocess.Popen[bytes]]:
    """A process of the project's own Python; see `process`."""
    return process(sys.executable, *arguments, **how)


@contextmanager
def process(
    *command: str,
    env: dict[str, str],
    log: Path | None = None,
    fds: tuple[int, ...] = (),
    **pipes: Any,
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that SIGTERM ends at the latest when this one does."""
    launch = Launch(command=command, env=env, cwd=ROOT, keep_fds=fds, orphan_signal=signal.SIGTERM)
    if log is not None:
        pipes |= {"stdout": log.open("wb"), "stderr": subprocess.STDOUT}
    pipes.setdefault("stdin", subprocess.DEVNULL)
    made = subprocess.Popen(command, **spawn_options(launch), **pipes)
    try:
        yield made
    finally:
        if made.poll() is None:
            made.terminate()
        try:
            made.wait(STOP_S)
        except subprocess.TimeoutExpired:
            made.kill()
            made.wait()


@contextmanager
def bare(which: str, env: dict[str, str], *arguments: str) -> Iterator[tuple[int, int]]:
    """The port and process id of a bare application (see `bare.py`) on the web process's own server settings."""
    sock = socket.create_server(("127.0.0.1", 0), backlog=2048)
    script, fd = str(Path(__file__).with_name("bare.py")), sock.fileno()
    with started(script, which, str(fd), *arguments, env=env, fds=(fd,)) as made:
        port = sock.getsockname()[1]
        # From here on its own: whoever connects waits until it serves, and is refused if it has died.
        sock.close()
        yield port, made.pid


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has now."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def until(holds: Callable[[], bool], otherwise: str, within_s: float) -> None:
    """Asks until it holds. Raises TimeoutError."""
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{otherwise} after {within_s:.0f} s")
        time.sleep(0.05)


def memory_mb(pid: int) -> float:
    """Megabytes that a process and all below it hold, what they share counted once (PSS, Linux)."""
    total = 0.0
    for one in (pid, *_below(pid)):
        try:
            rolled = Path(f"/proc/{one}/smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += sum(
            int(line.split()[1]) for line in rolled.splitlines() if line.startswith("Pss:")
        )
    return total / 1024


def _below(pid: int) -> list[int]:
    """All processes below one, at any depth."""
    children: list[int] = []
    with suppress(OSError):  # it has just ended
        for thread in os.listdir(f"/proc/{pid}/task"):
            with suppress(OSError):
                listed = Path(f"/proc/{pid}/task/{thread}/children").read_text()
                children += [int(child) for child in listed.split()]
    return [*children, *(deeper for child in children for deeper in _below(child))]


def cpu_s(pid: int) -> float:
    """CPU seconds of a process and of all below it, those that ended included (Linux)."""
    ticks = 0
    for one in (pid, *_below(pid)):
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")
