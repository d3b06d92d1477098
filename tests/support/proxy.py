"""A network that can be cut on one side only: connections stay open, and one direction of them passes nothing."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from concurrent.futures import Future
from typing import Any, Literal, Self
from urllib.parse import urlsplit

Side = Literal["client", "server"]
_AT_ONCE = 65_536
_ENDS_WITHIN_S = 10


class _Line:
    """One connection, both ways. What is held up arrives late and whole: TCP loses nothing from the middle."""

    def __init__(self) -> None:
        self.passes: dict[Side, asyncio.Event] = {
            "client": asyncio.Event(),
            "server": asyncio.Event(),
        }
        for gate in self.passes.values():
            gate.set()

    async def carry(
        self, to: Side, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """The end of the connection is held up like what is said on it."""
        with contextlib.suppress(OSError):
            while some := await reader.read(_AT_ONCE):
                await self.passes[to].wait()
                writer.write(some)
                await writer.drain()
        await self.passes[to].wait()
        with contextlib.suppress(OSError):
            writer.write_eof()


class Proxy:
    """On a port of the loopback, before the server at `url`; it runs in a thread of its own."""

    def __init__(self, url: str) -> None:
        place = urlsplit(url)
        self._server = place.hostname, place.port
        self._lines: set[_Line] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.url = ""

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_ENDS_WITHIN_S)
        self._loop.close()

    @property
    def connections(self) -> int:
        """That have an end which is still open."""
        return len(self._lines)

    def hold(self, to: Side) -> None:
        """Of the connections that are there, nothing arrives at that side any more; new ones are whole."""
        self._do(self._turn(to, "clear"))

    def heal(self) -> None:
        """All that was held up arrives now."""
        self._do(self._turn("client", "set"))
        self._do(self._turn("server", "set"))

    def drop(self) -> None:
        """The connections that are there end on both sides; what was held up is lost with them."""
        self._do(self._drop())

    def _do(self, act: Any) -> None:
        done: Future[None] = asyncio.run_coroutine_threadsafe(act, self._loop)
        done.result(_ENDS_WITHIN_S)

    async def _turn(self, to: Side, how: str) -> None:
        for line in self._lines:
            getattr(line.passes[to], how)()

    async def _drop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _listen(self) -> None:
        self._listener = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._listener.sockets[0].getsockname()[1]}"

    async def _connected(
        self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        writers = [to_client]
        line = _Line()
        try:
            from_server, to_server = await asyncio.open_connection(*self._server)
            writers.append(to_server)
            self._lines.add(line)
            await asyncio.gather(
                line.carry("server", from_client, to_server),
                line.carry("client", from_server, to_client),
            )
        except OSError:
            pass  # nobody is there: the client is told so by the end
        finally:
            self._lines.discard(line)
            self._tasks.discard(task)
            for writer in writers:
                writer.transport.abort()

    async def _end(self) -> None:
        self._listener.close()
        await self._drop()
