"""How a socket's conversation ends: a reason found by anybody, both of its tasks, and the frame that says why."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from breakers.asgi import Send

NOT_UNDERSTOOD, UNAUTHENTICATED, FORBIDDEN, NO_HELLO, TAKEN = 4400, 4401, 4403, 4408, 4409
RESTARTING, OVERLOADED = 1012, 1013
_CLOSE_WITHIN_S = 0.5


class Close(Exception):
    """The conversation ends with this code; `reason` fits a close frame (123 bytes)."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason.encode()[:120].decode(errors="ignore")


async def converse(
    reading: Coroutine[Any, Any, None],
    writing: Coroutine[Any, Any, None],
    *,
    ended: asyncio.Future[Close],
    hears_out: bool = False,
) -> None:
    """Both until one of them is over or there is a reason to end: then neither goes on, whatever it waits for.

    Writing is over where the peer has gone. With `hears_out`, what it had said before that is still read. Raises the
    reason, or what one of the two raised.
    """
    reader, writer = asyncio.create_task(reading), asyncio.create_task(writing)
    over: set[asyncio.Future[Any]] = {reader, ended}
    try:
        await asyncio.wait({writer, *over}, return_when=asyncio.FIRST_COMPLETED)
        if writer.done() and not ended.done():
            writer.result()
            if not hears_out:
                return
            await asyncio.wait(over, return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            raise ended.result()
        reader.result()
    finally:
        reader.cancel()
        writer.cancel()
        await asyncio.gather(reader, writer, return_exceptions=True)


async def tell(next_frame: Callable[[], Awaitable[Any]], send: Send, *, within_s: float) -> None:
    """Sends one text frame after the other until the peer has gone. Raises Close where it takes one no faster
    than within `within_s` seconds."""
    while True:
        frame = await next_frame()
        try:
            async with asyncio.timeout(within_s):
                await send({"type": "websocket.send", "text": frame})
        except TimeoutError as problem:
            raise Close(OVERLOADED, "too slow to be told") from problem
        except OSError:
            return


async def close_socket(send: Send, close: Close) -> None:
    """Says why. A peer that reads nothing cannot be told; the server drops it once the application returns."""
    with contextlib.suppress(OSError, RuntimeError):  # it may have gone already
        async with asyncio.timeout(_CLOSE_WITHIN_S):
            await send({"type": "websocket.close", "code": close.code, "reason": close.reason})
