"""The few lines of ASGI that the bare applications share: reading a body, answering, closing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any

import msgspec

from breakers.begun import Begun
from breakers.bodies import FREE_MAX, Share
from breakers.errors import CallError, Invalid, TryLater, Unauthenticated

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]

WriteNow = Callable[[bytes], bool]
"""Writes the bytes of a whole frame to a socket that can take them; False where it cannot, and nothing is done."""
WRITE_NOW = "panelboard.write_now"
"""Under this name, a socket's scope may have a `WriteNow` among its extensions."""

encode = msgspec.json.Encoder().encode
JSON = b"application/json"
PROBLEM = b"application/problem+json"
BODY_MAX = 1024 * 1024
CHUNK_WITHIN_S, BODY_WITHIN_S = 10, 30
_DISCARDED_MAX, _DISCARD_WITHIN_S = 64 * BODY_MAX, 3
_HEADERS = "panelboard.headers"
"""Under this name a scope has its headers once one of them was looked for."""


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


def write_now_of(scope: Scope) -> WriteNow | None:
    """Of a socket whose server has it."""
    found: WriteNow | None = scope.get("extensions", {}).get(WRITE_NOW)
    return found


def headers(scope: Scope) -> Mapping[bytes, bytes]:
    """By their (lower-case) names; of several with one name the first."""
    found: dict[bytes, bytes] | None = scope.get(_HEADERS)
    if found is None:
        found = scope[_HEADERS] = dict(reversed(scope["headers"]))
    return found


def header(scope: Scope, name: bytes) -> str | None:
    """One of them as text."""
    value = headers(scope).get(name)
    return None if value is None else value.decode("latin-1")


async def read_body(
    scope: Scope, receive: Receive, share: Share, *, limit: int = BODY_MAX, beside: int = 0
) -> bytes:
    """The whole body, bounded in size and in time, once there is room for it and for `beside` more bytes, which a large
    one is to become. Raises TooLarge, NoRoom, Stalled, Disconnected."""
    announced = _announced(scope, limit)
    if announced > limit:
        if header(scope, b"expect") is None:  # else nothing is sent before we ask for it
            await _discard(receive)
        raise _too_large(limit)
    if announced > FREE_MAX:
        # Before a byte is asked for: the server stops reading from who waits.
        await share.take(announced + beside)
    chunks: list[bytes] = []
    size = 0
    last: float | None = None
    while True:
        # A small body is there, as a rule, and needs no timer: that costs as much as to look an event through.
        begun = Begun(receive())
        if begun.is_done:
            message = begun.result
        else:
            now = asyncio.get_running_loop().time()
            last = last or now + BODY_WITHIN_S
            message = await _in_time(begun, min(last, now + CHUNK_WITHIN_S))
        if message["type"] == "http.disconnect":
            raise Disconnected
        chunk = message.get("body", b"")
        size += len(chunk)
        more = message.get("more_body", False)
        if size > limit:
            break
        chunks.append(chunk)
        if not more:
            share.keep(size + beside)
            return b"".join(chunks)
    chunks.clear()
    if more:
        await _discard(receive)
    raise _too_large(limit)


async def _in_time(message: Awaitable[Message], until: float) -> Message:
    try:
        async with asyncio.timeout_at(until):
            return await message
    except TimeoutError as problem:
        raise Stalled from problem


def _announced(scope: Scope, limit: int) -> int:
    """How many bytes come; `limit` where that is not said."""
    said = headers(scope)
    length = said.get(b"content-length")
    if length is not None and length.isdigit():
        return int(length)
    return limit if b"transfer-encoding" in said else 0


async def _discard(receive: Receive) -> None:
    """Takes in what a caller is still sending, and keeps none of it: to close on unread bytes resets the
    connection, and the caller would not read why. Bounded, for it is a courtesy."""
    left = _DISCARDED_MAX
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_DISCARD_WITHIN_S):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"At most {limit} bytes a request.")


Answer = tuple[Message, Message]


def answer_of(status: int, body: bytes, *, media: bytes = JSON, headers: Headers = ()) -> Answer:
    """One whole response."""
    own = [(b"content-type", media), (b"content-length", str(len(body)).encode())]
    start = {"type": "http.response.start", "status": status, "headers": [*own, *headers]}
    return start, {"type": "http.response.body", "body": body}


async def answer(
    send: Send, status: int, body: bytes, *, media: bytes = JSON, headers: Headers = ()
) -> None:
    """One whole response."""
    for message in answer_of(status, body, media=media, headers=headers):
        await send(message)


async def answer_problem(send: Send, problem: CallError, **more: Any) -> None:
    """An answer of RFC 9457, with `more` beside the standard members."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
    }
    if isinstance(problem, Invalid):
        body["errors"] = [{"loc": list(error.loc), "msg": error.msg} for error in problem.errors]
    headers = headers_of(problem)
    await answer(send, problem.status, encode(body | more), media=PROBLEM, headers=headers)


def headers_of(problem: CallError) -> Headers:
    """What goes with its status."""
    headers: list[tuple[bytes, bytes]] = []
    if isinstance(problem, TryLater):
        headers.append((b"retry-after", str(problem.retry_after).encode()))
    if isinstance(problem, Unauthenticated):
        headers.append((b"www-authenticate", b"Bearer"))
    if isinstance(problem, MethodNotAllowed):
        headers.append((b"allow", problem.detail.encode()))
    if isinstance(problem, TooLarge | Stalled):
        headers.append((b"connection", b"close"))  # what is left of the body is not read
    return headers
