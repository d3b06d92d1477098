"""Agents that ask a control plane again and again what is wished, instead of being told."""

from __future__ import annotations

import asyncio
import random
import time
from itertools import count

import msgspec

from rig.driver import Line, connect, get, post

_ASK = get("/desired", None)
_WITHIN_S = 60


class Pollers:
    """Each with a kept connection; they ask one after the other, each once in `every_s`."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._lines: list[Line] = []
        self._known: dict[Line, bytes] = {}
        self._asking: set[Line] = set()
        self._answering: set[Line] = set()
        self._applied_at: list[float] = []
        self._all = asyncio.Event()
        self.asked = 0

    async def connect(self, port: int, agents: int) -> None:
        self._lines = [await connect(port, self._answered) for _ in range(agents)]

    async def ask(self) -> None:
        """Until it is cancelled."""
        began, agents = time.perf_counter(), len(self._lines)
        for number in count():
            wait_s = began + number * self._every_s / agents - time.perf_counter()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            line = self._lines[number % agents]
            # One that still waits for its last answer asks again when it is due the next time.
            if line not in self._asking and line not in self._answering:
                self._asking.add(line)
                line.send(_ASK)
                self.asked += 1

    def expect(self) -> None:
        """Another revision is wished from now on."""
        self._applied_at.clear()
        self._all.clear()

    async def all_applied(self) -> list[float]:
        """When each was answered that its `applied` is noted."""
        async with asyncio.timeout(_WITHIN_S + 2 * self._every_s):
            await self._all.wait()
        return list(self._applied_at)

    def _answered(self, line: Line, head: bytes, body: bytes) -> None:
        if not head.startswith(b"HTTP/1.1 2"):
            raise RuntimeError(f"an answer that was not expected: {head!r}")
        if line in self._answering:
            self._answering.discard(line)
            self._applied_at.append(time.perf_counter())
            if len(self._applied_at) == len(self._lines):
                self._all.set()
            return
        self._asking.discard(line)
        if body != self._known.setdefault(line, body):
            self._known[line] = body
            self._answering.add(line)
            line.send(post("/applied", None, body))

    @property
    def know(self) -> bool:
        """Whether each has asked once."""
        return len(self._known) == len(self._lines)

    def close(self) -> None:
        for line in self._lines:
            line.transport.close()


async def poll(
    port: int, *, agents: int, every_s: float, rounds: int
) -> tuple[list[list[float]], float]:
    """Of each round the seconds from the wish to each agent's `applied`; and how often they asked, a second."""
    pollers = Pollers(every_s)
    await pollers.connect(port, agents)
    operator = await connect(port, lambda *_: None)
    took = []
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(pollers.ask())
        while not pollers.know:
            await asyncio.sleep(0.01)
        began, asked = time.perf_counter(), pollers.asked
        for revision in range(1, rounds + 1):
            await asyncio.sleep(random.uniform(0, min(1.0, every_s)))
            pollers.expect()
            wish = msgspec.json.encode({"revision": revision, "mode": "forced_open"})
            operator.send(post("/desired", None, wish))
            took.append([at - operator.sent_at for at in await pollers.all_applied()])
        rate = (pollers.asked - asked) / (time.perf_counter() - began)
        asking.cancel()
    operator.transport.close()
    pollers.close()
    return took, rate
