"""Many agents on `/agent/v1`, each with the one breaker of one service: a process of its own, and a cheap one.

    python benchmarks/rig/agents.py PORT AGENTS

Says `ready` once each is welcomed. Whenever all of them were told a revision, and have answered that it is applied,
it says in a line of JSON when (seconds since 1970). On a line of input, or its end, it says what it took, and ends.

A frame that another agent had byte for byte is answered as that one's was, without a look into it: so the reading of
thousands costs little beside what the server has to do.
"""

from __future__ import annotations

import asyncio
import base64
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import uvloop

KEY_NAME = "PANELBOARD_BENCHMARK_KEY"
SERVICE, ENVIRONMENT, BREAKER = "orders", "prod", "catalog"
HEARTBEAT_S = 10.0
CONNECT_S, ROUND_S = 180, 60
_AT_A_TIME = 32
_TICK_S = 0.05
_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10


class Told(msgspec.Struct):
    """A revision, and when each agent was told it."""

    revision: int
    at: list[float]


class Spent(msgspec.Struct):
    """What this process spent since `ready`: near one core, it was the limit, and the figures are void."""

    took_s: float
    own_cpu_s: float


class _Desired(msgspec.Struct, tag="desired"):
    breaker: str
    revision: int
    mode: str | None = None


class _Welcome(msgspec.Struct, tag="welcome"):
    pass


class _Pong(msgspec.Struct, tag="pong"):
    pass


_decode = msgspec.json.Decoder(_Desired | _Welcome | _Pong).decode


def _frame(opcode: int, payload: bytes) -> bytes:
    # A mask of zeros is a mask.
    head = bytes((128 | opcode,))
    if len(payload) < 126:
        return head + bytes((128 | len(payload), 0, 0, 0, 0)) + payload
    return head + bytes((128 | 126,)) + len(payload).to_bytes(2, "big") + bytes(4) + payload


def _text(**frame: Any) -> bytes:
    return _frame(_TEXT, msgspec.json.encode(frame))


_SAYS_PING = _text(type="ping")


class Agents:
    """All of them, and how far they have got."""

    def __init__(self, size: int, key: str) -> None:
        self.size = size
        self.key = key
        self.answers: dict[bytes, tuple[int, bytes]] = {}
        """What is said to a frame of a wish, and the revision, by the frame's bytes."""
        self._told = Told(0, [])

    def told(self, revision: int) -> None:
        if revision != self._told.revision:
            self._told = Told(revision, [])
        self._told.at.append(time.time())
        if len(self._told.at) == self.size:
            print(msgspec.json.encode(self._told).decode(), flush=True)


class Agent(asyncio.Protocol):
    """One socket, and the instance that it speaks for."""

    def __init__(self, agents: Agents, name: str) -> None:
        self._agents = agents
        self._name = name
        self._rest = b""
        self._is_open = False
        self.welcomed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        nonce = base64.b64encode(os.urandom(16)).decode()
        transport.write(
            f"GET /agent/v1 HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {nonce}\r\n"
            f"Authorization: Bearer {self._agents.key}\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        if not self._rest:
            known = self._agents.answers.get(data)
            if known is not None:
                self._answer(*known)
                return
        data = self._rest + data
        if not self._is_open:
            head, found, rest = data.partition(b"\r\n\r\n")
            if not found:
                self._rest = data
                return
            if not head.startswith(b"HTTP/1.1 101"):
                raise RuntimeError(f"the socket was refused: {head!r}")
            self._is_open = True
            self._say_hello()
            data = rest
        at = 0
        while (end := self._take(data, at)) is not None:
            at = end
        self._rest = data[at:]

    def _take(self, data: bytes, at: int) -> int | None:
        """One frame that begins at `at`; where it ends, or None where it is not all here."""
        if len(data) - at < 2:
            return None
        opcode, length, start = data[at] & 15, data[at + 1] & 127, at + 2
        if length >= 126:
            wide = 2 if length == 126 else 8
            if len(data) < start + wide:
                return None
            length = int.from_bytes(data[start : start + wide], "big")
            start += wide
        end = start + length
        if len(data) < end:
            return None
        if opcode == _TEXT:
            self._heard(data[start:end], frame=data[at:end])
        elif opcode == _PING:
            self.transport.write(_frame(_PONG, data[start:end]))
        elif opcode == _CLOSE:
            raise RuntimeError(f"the socket was closed: {data[start:end]!r}")
        return end

    def _heard(self, payload: bytes, *, frame: bytes) -> None:
        said = _decode(payload)
        if isinstance(said, _Desired):
            state = {"natural_state": "closed", "state": said.mode or "closed"}
            applied = _text(
                type="applied", breaker=said.breaker, revision=said.revision, ok=True, **state
            )
            self._agents.answers[frame] = (said.revision, applied)
            self._answer(said.revision, applied)
        elif isinstance(said, _Welcome):
            self.welcomed.set_result(None)

    def _answer(self, revision: int, applied: bytes) -> None:
        self.transport.write(applied)
        self._agents.told(revision)

    def _say_hello(self) -> None:
        breaker = {"breaker": BREAKER, "state": "closed", "target": BREAKER}
        self.transport.write(
            _text(
                type="hello",
                service=SERVICE,
                environment=ENVIRONMENT,
                instance=self._name,
                boot=self._name,
                breakers=[breaker],
            )
        )


async def live(port: int, size: int) -> Spent:
    """All are connected, and stay it until a line of input."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_end)
    agents = Agents(size, os.environ[KEY_NAME])
    made: list[Agent] = []
    room = asyncio.Semaphore(_AT_A_TIME)

    async def connect(number: int) -> None:
        async with room:
            _, agent = await loop.create_connection(
                lambda: Agent(agents, f"{SERVICE}-{number:05}"), "127.0.0.1", port
            )
            await agent.welcomed
            made.append(agent)

    # Those that are there already must not fall silent while the others come.
    beating = asyncio.create_task(_beat(made))
    async with asyncio.timeout(CONNECT_S):
        await asyncio.gather(*map(connect, range(size)))
    cpu, began = time.process_time(), time.perf_counter()
    print("ready", flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    beating.cancel()
    return Spent(took_s=time.perf_counter() - began, own_cpu_s=time.process_time() - cpu)


async def _beat(agents: list[Agent]) -> None:
    """Each pings once a heartbeat, one after the other."""
    at, began, rounds = 0, time.perf_counter(), 0.0
    while True:
        await asyncio.sleep(_TICK_S)
        now = time.perf_counter()
        rounds += (now - began) * len(agents) / HEARTBEAT_S
        began = now
        while rounds >= 1:
            rounds -= 1
            at = (at + 1) % len(agents)
            agents[at].transport.write(_SAYS_PING)


def _end(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A socket that fails makes the figures void."""
    print(context.get("exception") or context["message"], file=sys.stderr, flush=True)
    os._exit(1)


def main(port: str, size: str) -> None:
    spent = uvloop.run(live(int(port), int(size)))
    print(msgspec.json.encode(spent).decode(), flush=True)


# --- the other side: who starts it -----------------------------------------------------------------


@dataclass
class Connected:
    """The process that has them."""

    process: subprocess.Popen[bytes]

    def told(self) -> Told:
        """The next revision that all were told. Waits."""
        said = self.process.stdout
        assert said is not None
        if not select.select([said], [], [], ROUND_S)[0]:
            raise TimeoutError(f"not all agents were told within {ROUND_S} s")
        return msgspec.json.decode(said.readline(), type=Told)

    def end(self) -> Spent:
        said, _ = self.process.communicate(b"\n", timeout=60)
        return msgspec.json.decode(said, type=Spent)


@contextmanager
def connected(port: int, *, agents: int, key: str) -> Iterator[Connected]:
    """All agents welcomed."""
    from rig.stack import started

    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    arguments = (__file__, str(port), str(agents))
    with started(*arguments, env={**os.environ, KEY_NAME: key}, **pipes) as process:
        assert process.stdout is not None
        if process.stdout.readline() != b"ready\n":
            raise RuntimeError("the agents did not connect")
        yield Connected(process)


if __name__ == "__main__":
    main(*sys.argv[1:])
