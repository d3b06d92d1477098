"""The bounds on what Django is sent: it would take in any body whole, for as long as it takes, and as many calls at
once as come, each with a thread and a connection to the database of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
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

ACTING_MAX, READING_MAX = 32, 32
"""At once in one process: those that may change something, and so wait for each other's locks, and those that only
read. Neither takes the others' places, and a few processes of them fit into what PostgreSQL serves."""
MAKING_MAX = 8
"""Answers that are being made for those who only read. More at once are hardly made faster (20 a second with 4, 25 with
8, 31 with 64), and their threads keep the loop from everybody else: with 64, an override took 3.4 s."""
ALIKE_MAX, READING_ALIKE_MAX = 8, 4
"""Of those that are on one path: they may all wait for one lock, or be one program's that asks without pause."""
_PLAIN = b"text/plain; charset=utf-8"
_READING = ("GET", "HEAD", "OPTIONS")
_LONG = ("/api/v1/audit/export",)
"""Read from the database for as long as they are sent."""

Made = Callable[[], Awaitable[None]]


def bounded(application: Application) -> Application:
    """The application, which is called once the body is there and within bounds, and there is room."""
    bodies, room = Bodies(), Room()

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with bodies.share() as share:
                body = await read_body(scope, receive, share)
                async with room.place(scope) as made:
                    await application(scope, _again(body, receive), _before(send, made))
        except Disconnected:
            return
        except (TooLarge, Stalled, NoRoom) as problem:
            await _refuse(scope, send, problem)

    return serve


class Room:
    """Who is being answered. Calls that wait for one row are on one path, or are few, and so never fill it."""

    def __init__(self) -> None:
        self._acting = asyncio.Semaphore(ACTING_MAX)
        self._reading = asyncio.Semaphore(READING_MAX)
        self._making = asyncio.Semaphore(MAKING_MAX)
        self._alike: WeakValueDictionary[tuple[str, bool], asyncio.Semaphore] = (
            WeakValueDictionary()
        )

    @asynccontextmanager
    async def place(self, scope: Scope) -> AsyncIterator[Made]:
        """Raises NoRoom after ROOM_WITHIN_S. What it gives is to be called once the answer begins: it may be sent for
        long."""
        is_reading = scope["method"] in _READING
        async with AsyncExitStack() as places, AsyncExitStack() as making:
            try:
                async with asyncio.timeout(ROOM_WITHIN_S):
                    # The narrowest first: who waits for that takes no place from anybody else.
                    alike = self._alike_to(scope["path"], is_reading=is_reading)
                    is_short = is_reading and scope["path"] not in _LONG
                    await (making if is_short else places).enter_async_context(alike)
                    await places.enter_async_context(self._reading if is_reading else self._acting)
                    if is_reading:
                        await making.enter_async_context(self._making)
            except TimeoutError:
                raise NoRoom("Too many calls are being answered.", retry_after=2) from None
            yield making.aclose

    def _alike_to(self, path: str, *, is_reading: bool) -> asyncio.Semaphore:
        """Kept by those who wait for it or hold it."""
        most = READING_ALIKE_MAX if is_reading else ALIKE_MAX
        return self._alike.setdefault((path, is_reading), asyncio.Semaphore(most))


def _before(send: Send, made: Made) -> Send:
    """Says that the answer is made before its first word."""

    async def send_made(message: Message) -> None:
        await made()
        await send(message)

    return send_made


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
