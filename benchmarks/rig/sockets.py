"""Many sockets on `/live/v1` that count frames and read none: a process of its own, so as not to be the limit.

    python benchmarks/rig/sockets.py PORT SOCKETS KEPT FILE

Says `ready` once each socket has had its first frame, and counts from then on. The frames of the first KEPT
sockets are kept, with the time of their arrival. On a line of input, or its end, it waits until nothing comes
any more, writes those to FILE and says in a line of JSON what it counted.
"""

from __future__ import annotations

import asyncio
import base64
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import uvloop

KEY_NAME = "PANELBOARD_BENCHMARK_KEY"
CONNECT_S = 60
QUIET_S = 0.5
_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10
_SUBSCRIBE = b'{"type":"subscribe","match":{}}'


class Frame(msgspec.Struct, array_like=True):
    """A frame as it came: which socket's, when (seconds since 1970), and its text."""

    socket: int
    at: float
    text: str


class Counted(msgspec.Struct):
    """What all sockets received after `ready`; `socket_frames` is that of each."""

    frames: int
    bytes: int
    took_s: float
    own_cpu_s: float
    socket_frames: list[int]


class Watch(asyncio.Protocol):
    """One socket. A payload that nobody keeps is skipped, not gathered."""

    def __init__(self, key: str, *, keep: bool) -> None:
        self._key = key
        self._keep = keep
        self._rest = b""
        self._skip = 0
        self._is_open = False
        self.first = asyncio.get_running_loop().create_future()
        self.frames = 0
        self.bytes = 0
        self.last_at = 0.0
        self.kept: list[tuple[float, bytes]] = []

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        nonce = base64.b64encode(os.urandom(16)).decode()
        transport.write(
            f"GET /live/v1 HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {nonce}\r\n"
            f"Authorization: Bearer {self._key}\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        if self._skip:
            if self._skip > len(data):
                self._skip -= len(data)
                return
            data = data[self._skip :]
            self._skip = 0
            self._count()
        data = self._rest + data
        self._rest = b""
        if not self._is_open:
            data = self._opened(data)
        at = 0
        while len(data) - at >= 2:
            end = self._take(data, at)
            if end is None:
                break
            at = end
        self._rest = data[at:]

    def _opened(self, data: bytes) -> bytes:
        head, found, rest = data.partition(b"\r\n\r\n")
        if not found:
            self._rest = data
            return b""
        if not head.startswith(b"HTTP/1.1 101"):
            raise RuntimeError(f"the socket was refused: {head!r}")
        self._is_open = True
        self._send(_TEXT, _SUBSCRIBE)
        return rest

    def _take(self, data: bytes, at: int) -> int | None:
        """One frame that begins at `at`; where it ends, or None where too little of it is here."""
        opcode, length, start = data[at] & 15, data[at + 1] & 127, at + 2
        if length >= 126:
            wide = 2 if length == 126 else 8
            if len(data) < start + wide:
                return None
            length = int.from_bytes(data[start : start + wide], "big")
            start += wide
        end = start + length
        if opcode != _TEXT or self._keep:
            if len(data) < end:
                return None
            self._got(opcode, data[start:end])
            return end
        self.bytes += length
        if len(data) < end:
            self._skip = end - len(data)
            return len(data)
        self._count()
        return end

    def _got(self, opcode: int, payload: bytes) -> None:
        if opcode == _TEXT:
            self.bytes += len(payload)
            self.kept.append((time.time(), payload))
            self._count()
        elif opcode == _PING:
            self._send(_PONG, payload)
        elif opcode == _CLOSE:
            raise RuntimeError(f"the socket was closed: {payload!r}")

    def _count(self) -> None:
        self.frames += 1
        self.last_at = time.perf_counter()
        if not self.first.done():
            self.first.set_result(None)

    def _send(self, opcode: int, payload: bytes) -> None:
        # A mask of zeros is a mask.
        self._transport.write(bytes((128 | opcode, 128 | len(payload), 0, 0, 0, 0)) + payload)

    def forget(self) -> None:
        """What came so far does not count."""
        self.frames = self.bytes = 0
        self.kept.clear()


async def watch(port: int, sockets: int, kept: int) -> tuple[Counted, list[Frame]]:
    """Until a line of input: what was counted, and the frames kept."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_end)
    key = os.environ[KEY_NAME]
    watches = []
    for number in range(sockets):
        _, one = await loop.create_connection(
            lambda keep=number < kept: Watch(key, keep=keep), "127.0.0.1", port
        )
        watches.append(one)
    await asyncio.wait_for(asyncio.gather(*(one.first for one in watches)), CONNECT_S)
    for one in watches:
        one.forget()
    cpu, began = time.process_time(), time.perf_counter()
    print("ready", flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    # What is still under way belongs to it.
    before = -1
    while before < (before := sum(one.frames for one in watches)):
        await asyncio.sleep(QUIET_S)
    counted = Counted(
        frames=sum(one.frames for one in watches),
        bytes=sum(one.bytes for one in watches),
        took_s=max(one.last_at for one in watches) - began,
        own_cpu_s=time.process_time() - cpu,
        socket_frames=[one.frames for one in watches],
    )
    frames = [
        Frame(number, at, payload.decode())
        for number, one in enumerate(watches)
        for at, payload in one.kept
    ]
    return counted, frames


def main(port: str, sockets: str, kept: str, file: str) -> None:
    counted, frames = uvloop.run(watch(int(port), int(sockets), int(kept)))
    Path(file).write_bytes(msgspec.json.encode(frames))
    print(msgspec.json.encode(counted).decode(), flush=True)


def _end(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A socket that fails makes the figures void."""
    print(context.get("exception") or context["message"], file=sys.stderr, flush=True)
    os._exit(1)


# --- the other side: who starts it -----------------------------------------------------------------


@dataclass
class Watching:
    """The process that has them."""

    process: subprocess.Popen[bytes]

    def end(self) -> Counted:
        """Stops the counting; the kept frames are in the file then."""
        told, _ = self.process.communicate(b"\n", timeout=60)
        return msgspec.json.decode(told, type=Counted)


@contextmanager
def watching(port: int, *, sockets: int, kept: int, file: Path, key: str) -> Iterator[Watching]:
    """All sockets open, and each with its first frame."""
    from rig.stack import started

    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    arguments = (__file__, str(port), str(sockets), str(kept), str(file))
    with started(*arguments, env={**os.environ, KEY_NAME: key}, **pipes) as process:
        assert process.stdout is not None
        if process.stdout.readline() != b"ready\n":
            raise RuntimeError("the sockets did not open")
        yield Watching(process)


if __name__ == "__main__":
    main(*sys.argv[1:])
