"""An outage that lasts as long as a test wants: kill -9, with nobody there to start it again."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress

from tests.support.eventually import eventually
from tests.support.stack import Stack, children

BACK_WITHIN_S = 30


def processes(stack: Stack, part: str) -> dict[str, int]:
    """The processes of this part that run now; `web` may be several."""
    return {
        name: pid
        for name, pid in stack.run["parts"].items()
        if pid and name.partition(".")[0] == part
    }


@contextmanager
def outage(stack: Stack, *parts: str) -> Iterator[None]:
    """The parts are gone within the block; afterwards they must be back, and all ready, within 30 s."""
    os.kill(stack.process.pid, signal.SIGSTOP)
    try:
        killed = {name: pid for part in parts for name, pid in processes(stack, part).items()}
        assert len(killed) >= len(parts)
        for pid in killed.values():
            os.kill(pid, signal.SIGKILL)
        yield
    finally:
        os.kill(stack.process.pid, signal.SIGCONT)
    eventually(
        lambda: all(stack.restarted(name, pid) for name, pid in killed.items()),
        within=BACK_WITHIN_S,
        every=0.05,
    )


@contextmanager
def frozen(stack: Stack, part: str) -> Iterator[None]:
    """The part and all below it stand still within the block: they hold every connection, take in what is
    sent, and answer nobody."""
    pid = stack.pid(part)
    stopped = [pid, *children(pid)]
    for one in stopped:
        with suppress(ProcessLookupError):
            os.kill(one, signal.SIGSTOP)
    try:
        yield
    finally:
        for one in stopped:
            with suppress(ProcessLookupError):
                os.kill(one, signal.SIGCONT)
    eventually(stack.is_ready, within=BACK_WITHIN_S)


@contextmanager
def only(stack: Stack, name: str) -> Iterator[None]:
    """Within the block the other process stands still, so that new connections are this one's."""
    others = [pid for other, pid in processes(stack, "web").items() if other != name]
    for pid in others:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in others:
            os.kill(pid, signal.SIGCONT)


@asynccontextmanager
async def meanwhile(fault: AbstractContextManager[None]) -> AsyncIterator[None]:
    """The same fault in a loop, which is not held up by the wait at its end."""
    fault.__enter__()
    try:
        yield
    finally:
        await asyncio.to_thread(fault.__exit__, None, None, None)
