"""The few lines of ASGI that the bare applications share: reading a body, answering, closing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

import msgspec

from breakers.errors import CallError, Invalid, Overloaded, Unauthenticated

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]

encode = msgspec.json.Encoder().encode
JSON = b"application/json"
PROBLEM = b"application/problem+json"


class TooLarge(CallError):
    status, title = 413, "Too large"


class Stalled(CallError):
    status, title = 408, "The body did not arrive in time"


class UnsupportedType(CallError):
    status, title = 415, "Unsupported media type"


class MethodNotAllowed(CallError):
    status, title = 405, "Method not allowed"


class Disconnected(Exception):
    """The caller went away before the body was whole."""


def header(scope: Scope, name: bytes) -> str | None:
    """The first header of this (lower-case) name."""
    for key, value in scope["headers"]:
        if key == name:
            return str(value.decode("latin-1"))
    return None


async def read_body(receive: Receive, *, limit: int, chunk_s: float, total_s: float) -> bytes:
    """The whole body, bounded in size and in time. Raises TooLarge, Stalled, Disconnected."""
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(total_s):
            while True:
                async with asyncio.timeout(chunk_s):
                    message = await receive()
                if message["type"] == "http.disconnect":
                    raise Disconnected
                chunk = message.get("body", b"")
                size += len(chunk)
                if size > limit:
                    raise TooLarge(f"At most {limit} bytes a request.")
                chunks.append(chunk)
                if not message.get("more_body", False):
                    return b"".join(chunks)
    except TimeoutError as problem:
        raise Stalled from problem


async def answer(
    send: Send, status: int, body: bytes, *, media: bytes = JSON, headers: Headers = ()
) -> None:
    """One whole response."""
    own = [(b"content-type", media), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*own, *headers]})
    await send({"type": "http.response.body", "body": body})


async def answer_problem(send: Send, problem: CallError, **more: Any) -> None:
    """An answer of RFC 9457, with `more` beside the standard members."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
    }
    headers: list[tuple[bytes, bytes]] = []
    if isinstance(problem, Invalid):
        body["errors"] = [{"loc": list(error.loc), "msg": error.msg} for error in problem.errors]
    if isinstance(problem, Overloaded):
        headers.append((b"retry-after", str(problem.retry_after).encode()))
    if isinstance(problem, Unauthenticated):
        headers.append((b"www-authenticate", b"Bearer"))
    if isinstance(problem, MethodNotAllowed):
        headers.append((b"allow", problem.detail.encode()))
    if isinstance(problem, TooLarge | Stalled):
        headers.append((b"connection", b"close"))  # what is left of the body is not read
    await answer(send, problem.status, encode(body | more), media=PROBLEM, headers=headers)
