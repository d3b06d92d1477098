"""HTTP by raw asyncio protocols: kept connections, one request on its way on each, all made beforehand.

No client library, and no parsing beyond what tells one answer from the next, so that what is measured
is the server.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


@dataclass
class Tally:
    """What a run brought; latencies in seconds, in the order of the answers."""

    latencies: list[float] = field(default_factory=list)
    odd: Counter[bytes] = field(default_factory=Counter)
    """Answers that were not the expected one."""
    took_s: float = 0.0
    own_cpu_s: float = 0.0
    """What this process spent on asking: near `took_s`, it is the limit, and the figure void."""

    @property
    def per_second(self) -> float:
        return len(self.latencies) / self.took_s

    def percentile(self, percent: float) -> float:
        return percentile(self.latencies, percent)

    def check(self) -> None:
        """Raises where an answer was odd: figures of refused requests mean nothing."""
        if self.odd:
            answer, times = self.odd.most_common(1)[0]
            raise RuntimeError(f"{times} answers were not as expected: {answer[:600]!r}")


class Line(asyncio.Protocol):
    """One kept connection; tells `answered` of each whole answer."""

    def __init__(self, answered: Callable[[Line, bytes, bytes], None]) -> None:
        self._answered = answered
        self._read = b""
        self.sent_at = 0.0
        self.closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport

    def send(self, request: bytes) -> None:
        self.sent_at = time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, found, body = self._read.partition(b"\r\n\r\n")
        if not found:
            return
        length = _LENGTH.search(head + b"\r\n")
        if length is None:
            raise RuntimeError(f"an answer without its length: {head[:600]!r}")
        if len(body) >= int(length[1]):
            self._read = b""
            self._answered(self, head, body)

    def connection_lost(self, problem: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(problem)


async def drive(
    port: int, queues: Sequence[Iterator[bytes]], *, expected: bytes | None, within_s: float
) -> Tally:
    """Each queue on a connection of its own, the next request as soon as the last is answered.

    Ends when the queues are empty or, with what was answered until then, after `within_s`.
    `expected` is the body that each answer must have; None: any 2xx will do.
    """
    tally = Tally()
    deadline = time.perf_counter() + within_s
    waiting: dict[Line, Iterator[bytes]] = {}

    def ask(line: Line) -> None:
        request = next(waiting[line], None) if time.perf_counter() < deadline else None
        if request is None:
            line.transport.close()
        else:
            line.send(request)

    def answered(line: Line, head: bytes, body: bytes) -> None:
        tally.latencies.append(time.perf_counter() - line.sent_at)
        if not head.startswith(b"HTTP/1.1 2") or (expected is not None and body != expected):
            tally.odd[head.partition(b"\r\n")[0] + b" " + body] += 1
        ask(line)

    for queue in queues:
        line = await connect(port, answered)
        waiting[line] = queue
    cpu, began = time.process_time(), time.perf_counter()
    for line in waiting:
        ask(line)
    await asyncio.wait_for(asyncio.gather(*(line.closed for line in waiting)), within_s + 60)
    tally.took_s = time.perf_counter() - began
    tally.own_cpu_s = time.process_time() - cpu
    return tally


async def pace(
    port: int, requests: Sequence[bytes], *, begins: float, per_second: float, connections: int
) -> Tally:
    """Each request at its time, the first at `begins` (seconds since 1970), however slow the answers are.

    Latencies count from that time: a request that had to wait for a free connection is late, not lost.
    """
    tally = Tally()
    first = time.perf_counter() + begins - time.time()
    idle: deque[Line] = deque()
    free = asyncio.Event()
    sent: dict[Line, float] = {}

    def answered(line: Line, head: bytes, body: bytes) -> None:
        tally.latencies.append(time.perf_counter() - sent[line])
        if not head.startswith(b"HTTP/1.1 2"):
            tally.odd[head.partition(b"\r\n")[0] + b" " + body] += 1
        idle.append(line)
        free.set()

    lines = [await connect(port, answered) for _ in range(connections)]
    idle.extend(lines)
    cpu = time.process_time()
    for number, request in enumerate(requests):
        due = first + number / per_second
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        while not idle:
            free.clear()
            await asyncio.wait_for(free.wait(), 60)
        line = idle.popleft()
        sent[line] = due
        line.send(request)
    while len(idle) < len(lines):
        free.clear()
        await asyncio.wait_for(free.wait(), 60)
    tally.took_s = time.perf_counter() - first
    tally.own_cpu_s = time.process_time() - cpu
    for line in lines:
        line.transport.close()
    return tally


async def connect(port: int, answered: Callable[[Line, bytes, bytes], None]) -> Line:
    loop = asyncio.get_running_loop()
    _, line = await loop.create_connection(lambda: Line(answered), "127.0.0.1", port)
    return line


def post(path: str, key: str | None, body: bytes) -> bytes:
    """A whole request."""
    length = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return _head("POST", path, key, length) + body


def get(path: str, key: str | None) -> bytes:
    """A whole request."""
    return _head("GET", path, key, "")


def _head(method: str, path: str, key: str | None, more: str) -> bytes:
    who = f"Authorization: Bearer {key}\r\n" if key else ""
    return f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{who}{more}\r\n".encode()


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that `percent` of them do not exceed; of nothing: not a number."""
    ordered = sorted(values)
    if not ordered:
        return float("nan")
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
