"""The processes of a system: started, kept alive, told their faults, ended."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from demo.announce import say
from demo.http import listen, send_json
from demo.system import Fault, System

ROOT = Path(__file__).resolve().parent.parent
RESTART_AFTER_S = 1.0
GRACE_S = 5.0


@dataclass
class Child:
    service: str
    instance: str
    sock: socket.socket
    """Held here too, so that a process that is started again answers where it did before."""
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.sock.getsockname()[1]}"


class Processes:
    def __init__(self, system: System) -> None:
        self.system = system
        self._lock = threading.Lock()
        self._active: set[str] = set()
        self._ended = threading.Event()
        self.children = [
            Child(service.name, f"{service.name}-{number}", listen())
            for service in system.services
            for number in range(1, service.copies + 1)
        ]

    def start(self) -> None:
        for child in self.children:
            self._launch(child)
        threading.Thread(target=self._keep_alive, daemon=True).start()

    def stop(self) -> None:
        """Asks all to end, and ends those that have not after some seconds."""
        self._ended.set()
        with self._lock:
            running = [c.process for c in self.children if c.process is not None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + GRACE_S
        for process in running:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for child in self.children:
            child.sock.close()

    def urls(self, service: str) -> list[str]:
        return [child.url for child in self.children if child.service == service]

    def active(self) -> set[str]:
        """Names of the faults that are on."""
        with self._lock:
            return set(self._active)

    def set_fault(self, fault: Fault, *, on: bool) -> None:
        """Told at once to those that live; one that is down hears of it when it starts again."""
        with self._lock:
            (self._active.add if on else self._active.discard)(fault.name)
            modes = self._modes(fault.service)
            urls = self.urls(fault.service)
        for url in urls:
            try:
                send_json("POST", f"{url}/faults", modes, timeout_s=2.0)
            except OSError as error:
                say(f"{fault.service} at {url} was not told of {fault.name}: {error}")

    def _modes(self, service: str) -> list[str]:
        return [
            f.mode for f in self.system.faults if f.service == service and f.name in self._active
        ]

    def _launch(self, child: Child) -> None:
        service = next(s for s in self.system.services if s.name == child.service)
        fd = child.sock.fileno()
        with self._lock:
            if self._ended.is_set():
                return
            env = {
                **os.environ,
                **service.settings,
                "DEMO_FD": str(fd),
                "DEMO_INSTANCE": child.instance,
                "DEMO_ADDRESSES": json.dumps({name: self.urls(name) for name in service.calls}),
                "DEMO_FAULTS": json.dumps(self._modes(child.service)),
            }
            child.started_at = time.monotonic()
            child.process = subprocess.Popen(
                [sys.executable, "-m", f"demo.services.{child.service}"],
                cwd=ROOT,
                env=env,
                # Never written to: it closes when this process is gone, however it went.
                stdin=subprocess.PIPE,
                pass_fds=(fd,),
                # Ctrl-C in a terminal is this process's to pass on.
                start_new_session=True,
            )

    def _keep_alive(self) -> None:
        while not self._ended.wait(0.3):
            for child in self.children:
                process = child.process
                if process is None or process.poll() is None:
                    continue
                if time.monotonic() - child.started_at >= RESTART_AFTER_S:
                    say(f"{child.instance} ended ({process.returncode}): started again")
                    if process.stdin is not None:
                        process.stdin.close()
                    self._launch(child)
