"""An outage of one part that lasts as long as a test wants: kill -9, with nobody there to start it again."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.eventually import eventually
from tests.support.stack import Stack

BACK_WITHIN_S = 30


def processes(stack: Stack, part: str) -> dict[str, int]:
    """The processes of this part that run now; `web` may be several."""
    return {
        name: pid
        for name, pid in stack.run["parts"].items()
        if pid and name.partition(".")[0] == part
    }


@contextmanager
def outage(stack: Stack, part: str) -> Iterator[None]:
    """The part is gone within the block; afterwards it must be back, and all ready, within 30 s."""
    os.kill(stack.process.pid, signal.SIGSTOP)
    try:
        killed = processes(stack, part)
        assert killed
        for pid in killed.values():
            os.kill(pid, signal.SIGKILL)
        yield
    finally:
        os.kill(stack.process.pid, signal.SIGCONT)
    began = time.monotonic()
    for name, pid in killed.items():
        eventually(lambda: stack.restarted(name, pid), within=BACK_WITHIN_S, every=0.05)  # noqa: B023
    assert time.monotonic() - began < BACK_WITHIN_S
