"""A service in a process of its own, as `tests/support/service.py` has it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import defaultdict
from typing import Self

from tests.support.servers import ROOT, outside_environment
from tests.support.stack import Stack

_ENDS_WITHIN_S = 10


class Guarded:
    """`with Guarded(stack, "orders", "catalog") as service: …`; `url` is where it takes the panel to be."""

    def __init__(self, stack: Stack, service: str, *breakers: str, url: str | None = None) -> None:
        self.service = service
        self.outcomes: defaultdict[str, list[str]] = defaultdict(list)
        """Of the calls through each breaker, each time that it is another."""
        self._command = [sys.executable, "-m", "tests.support.service", *breakers]
        self._env = outside_environment() | {
            "PANELBOARD_URL": url or stack.url,
            "PANELBOARD_API_KEY": stack.key,
            "PANELBOARD_SERVICE": service,
            "PANELBOARD_INSTANCE": "one",
        }

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, cwd=ROOT, env=self._env, stdout=subprocess.PIPE, text=True
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        self._process.wait(_ENDS_WITHIN_S)
        self._reader.join(_ENDS_WITHIN_S)

    def stop(self) -> None:
        os.kill(self._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                breaker, outcome = line.split()
                self.outcomes[breaker].append(outcome)
