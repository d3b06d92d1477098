"""The real system, started as people start it, on free ports and a data directory of its own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from tests.support.eventually import eventually
from tests.support.servers import ROOT, outside_environment

ADMIN_PASSWORD = "a password for tests"
BOOTSTRAP_KEY = "pb_a_bootstrap_key_for_tests_only"
START_S = 90
"""Far above the 6 s that a first start takes on an idle machine of two cores."""


@dataclass
class Stack:
    """One `manage.py up`, running or ended."""

    process: subprocess.Popen[bytes]
    data_dir: Path
    log: Path
    env: dict[str, str] = field(repr=False)

    # --- where it is ------------------------------------------------------------------------------

    @property
    def run(self) -> dict[str, Any]:
        """What it left for other commands: URLs and the process id of each part."""
        try:
            return dict(json.loads((self.data_dir / "run.json").read_text()))
        except FileNotFoundError:
            raise AssertionError(f"nothing is announced yet:\n{self.output[-4000:]}") from None

    @property
    def url(self) -> str:
        return str(self.run["url"])

    @property
    def ws_url(self) -> str:
        return self.url.replace("http", "ws", 1)

    @property
    def key(self) -> str:
        """An API key with all scopes."""
        return BOOTSTRAP_KEY

    @property
    def admin_password(self) -> str:
        return ADMIN_PASSWORD

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def client(self) -> httpx2.Client:
        """An HTTP client with the key."""
        return httpx2.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {self.key}"}, timeout=30
        )

    # --- its processes ----------------------------------------------------------------------------

    def pid(self, part: str) -> int:
        """The process of a part that runs now: postgres, redis, web, worker, beat or demo."""
        pid = self.run["parts"][part]
        assert pid, f"{part} does not run"
        return int(pid)

    def processes(self) -> set[int]:
        """`up` and everything below it."""
        return {self.process.pid, *children(self.process.pid)}

    def kill(self, part: str) -> int:
        """kill -9; returns the id of the process that was."""
        pid = self.pid(part)
        os.kill(pid, signal.SIGKILL)
        return pid

    def restarted(self, part: str, killed: int) -> bool:
        """Whether another process has taken the place of the killed one and the whole is ready."""
        pid = self.run["parts"][part]
        return pid not in (None, killed) and self.is_ready()

    def readiness(self) -> tuple[int, dict[str, Any]]:
        answer = httpx2.get(f"{self.url}/readyz", timeout=30)
        return answer.status_code, dict(answer.json())

    def is_ready(self) -> bool:
        try:
            return self.readiness()[0] == 200
        except httpx2.HTTPError:
            return False

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Another command of `manage.py`, as someone beside the running system would call it."""
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def ended(self, *, within: float = 60) -> int:
        """Its exit code, once it has ended."""
        return self.process.wait(within)

    def stop(self) -> int:
        """SIGTERM, if it still runs; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.ended()
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"up did not stop:\n{self.output[-4000:]}") from None


def start(data_dir: Path, *arguments: str, log: Path | None = None, **environment: str) -> Stack:
    """`manage.py up` with these arguments; returns at once."""
    env = {
        **outside_environment(),
        "PANELBOARD_DATA_DIR": str(data_dir),
        "PANELBOARD_ADMIN_PASSWORD": ADMIN_PASSWORD,
        "PANELBOARD_BOOTSTRAP_KEY": BOOTSTRAP_KEY,
        "PANELBOARD_WEBHOOK_ALLOW": "127.0.0.1",
        **environment,
    }
    env = {name: value for name, value in env.items() if value}
    log = log or data_dir.with_name(f"{data_dir.name}.{time.monotonic_ns()}.log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "up", *(arguments or ("--port", "0"))],
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Stack(process=process, data_dir=data_dir, log=log, env=env)


def start_ready(data_dir: Path, *arguments: str, **environment: str) -> Stack:
    """The same, once it says that it is ready."""
    stack = start(data_dir, *arguments, **environment)

    def is_ready() -> bool:
        assert stack.process.poll() is None, f"up ended:\n{stack.output[-4000:]}"
        assert ready_url(stack.output), f"up is not ready:\n{stack.output[-4000:]}"
        return True

    try:
        eventually(is_ready, within=START_S, every=0.05)
    except BaseException:
        if stack.process.poll() is None:
            stack.stop()
        raise
    return stack


def ready_url(output: str) -> str | None:
    """The address in the line that `up` prints once all parts answer."""
    found = re.search(r"^Panelboard is ready at (http://\S+)$", output, re.MULTILINE)
    return found[1] if found else None


def children(pid: int) -> set[int]:
    """All processes below this one."""
    found: set[int] = set()
    # One that ends while it is looked at has no children any more.
    with contextlib.suppress(OSError):
        for listed in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in listed.read_text().split():
                found |= {int(child), *children(int(child))}
    return found
