"""The bounds on what Django is sent: it would take in any body whole, for as long as it takes, and as many calls at
once as come, each with a thread and a connection to the database of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from weakref import WeakValueDictionary

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
    headers_of,
    read_body,
)
from breakers.bodies import ROOM_WITHIN_S, Bodies, NoRoom
from breakers.errors import CallError

CALLS_MAX = 64
"""At once in one process: a few of those fit into what PostgreSQL serves."""
ACTING_MAX = 32
"""Of them that may change something, and so wait for each other's locks: the rest is for those that only read."""
ALIKE_MAX = 8
"""Of those that are on one path, which may all wait for one lock."""
_PLAIN = b"text/plain; charset=utf-8"
_READING = ("GET", "HEAD", "OPTIONS")


def bounded(application: Application) -> Application:
    """The application, which is called once the body is there and within bounds, and there is room."""
    bodies, room = Bodies(), Room()

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with bodies.share() as share:
                body = await read_body(scope, receive, share)
                async with room.place(scope):
                    await application(scope, _again(body, receive), send)
        except Disconnected:
            return
        except (TooLarge, Stalled, NoRoom) as problem:
            await _refuse(scope, send, problem)

    return serve


class Room:
    """Who is being answered. Calls that wait for one row are on one path, or are few, and so never fill it."""

    def __init__(self) -> None:
        self._inside = asyncio.Semaphore(CALLS_MAX)
        self._acting = asyncio.Semaphore(ACTING_MAX)
        self._alike: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def place(self, scope: Scope) -> AsyncIterator[None]:
        """Raises NoRoom after ROOM_WITHIN_S."""
        async with AsyncExitStack() as places:
            try:
                async with asyncio.timeout(ROOM_WITHIN_S):
                    for of in self._places(scope):
                        await places.enter_async_context(of)
            except TimeoutError:
                raise NoRoom("Too many calls are being answered.", retry_after=2) from None
            yield

    def _places(self, scope: Scope) -> list[asyncio.Semaphore]:
        """The narrowest first: who waits for that takes no place from anybody else."""
        if scope["method"] in _READING:
            return [self._inside]
        # Kept by those who wait for it or hold it.
        alike = self._alike.setdefault(scope["path"], asyncio.Semaphore(ALIKE_MAX))
        return [alike, self._acting, self._inside]


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
    told = f"{problem.title}.\n".encode()
    await answer(send, problem.status, told, media=_PLAIN, headers=headers_of(problem))
