"""The bounds on what Django is sent: it would take in any body whole, for as long as it takes, and as many calls at
once as come, each with a thread and a connection to the database of its own."""

from __future__ import annotations

import asyncio

from breakers.asgi import (
    Application,
    Disconnected,
    Message,
    Receive,
    Scope,
    Send,
    Stalled,
    TooLarge,
    answer,
    answer_problem,
    read_body,
)
from breakers.errors import CallError, Overloaded

CALLS_MAX = 64
"""At once in one process: a few of those fit into what PostgreSQL serves."""
ROOM_WITHIN_S = 5.0
_FULL = Overloaded("Too many calls are being answered.", retry_after=2)
_PLAIN = b"text/plain; charset=utf-8"


def bounded(application: Application) -> Application:
    """The application, which is called once the body is there and within bounds, and there is room."""
    room = asyncio.Semaphore(CALLS_MAX)

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await read_body(scope, receive)
        except Disconnected:
            return
        except (TooLarge, Stalled) as problem:
            await _refuse(scope, send, problem)
            return
        try:
            async with asyncio.timeout(ROOM_WITHIN_S):
                await room.acquire()
        except TimeoutError:
            await _refuse(scope, send, _FULL)
            return
        try:
            await application(scope, _again(body, receive), send)
        finally:
            room.release()

    return serve


def _again(body: bytes, receive: Receive) -> Receive:
    """Gives the body that was read, and then what the server says: that the caller has gone."""
    unread: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return unread.pop() if unread else await receive()

    return receive_again


async def _refuse(scope: Scope, send: Send, problem: CallError) -> None:
    if scope["path"].startswith("/api/"):
        await answer_problem(send, problem)
        return
    # What is left of the body is not read.
    await answer(
        send,
        problem.status,
        f"{problem.title}.\n".encode(),
        media=_PLAIN,
        headers=[(b"connection", b"close")],
    )
