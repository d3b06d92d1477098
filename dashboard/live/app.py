"""`/live/v1`: browsers with a session, and programs with a key, watch the board.

A bare ASGI application, which accepts first and then looks up who it is: Channels' middleware would ask the
database before the accept, where a failure has no code to be told by.
"""

from __future__ import annotations

import asyncio
import time

import msgspec
import psycopg
import structlog
from psycopg_pool import PoolTimeout, TooManyRequests

from breakers.asgi import Receive, Scope, Send, WriteNow, header, write_now_of
from breakers.closing import (
    FORBIDDEN,
    NOT_UNDERSTOOD,
    OVERLOADED,
    UNAUTHENTICATED,
    Close,
    close_socket,
    converse,
    tell,
)
from breakers.errors import CallError, Unauthenticated
from breakers.flood import Flood
from breakers.keys import key_hash
from breakers.live import frames
from breakers.live.match import Limits, Match
from breakers.live.rights import Credential
from breakers.live.view import Reader
from breakers.models import Scope as KeyScope
from breakers.origins import origin_is_ours
from breakers.runtime import Runtime
from dashboard.live.visitor import visitor_of

_log = structlog.get_logger(__name__)
_KNOWN_WITHIN_S = 6
_SEND_WITHIN_S = 10
_AWAY = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    PoolTimeout,
    TooManyRequests,
    OSError,
)


class Subscribe(msgspec.Struct, frozen=True, tag="subscribe"):
    """Which breakers to tell of, from now on."""

    match: Match = Match()


class Ping(msgspec.Struct, frozen=True, tag="ping"):
    """Asks whether the picture is live; no answer means that it is not."""


_decode = msgspec.json.Decoder(Subscribe | Ping).decode


async def watch(runtime: Runtime, scope: Scope, receive: Receive, send: Send) -> None:
    """One socket, from its handshake to its end."""
    if (await receive())["type"] != "websocket.connect":
        return
    if not origin_is_ours(scope):
        await send({"type": "websocket.close", "code": 1008})  # before the accept: HTTP 403
        return
    await send({"type": "websocket.accept"})
    try:
        await _Watching(runtime, receive, send, write_now_of(scope)).run(scope)
    except Close as close:
        await close_socket(send, close)
    except _AWAY as problem:
        await close_socket(send, _turned_away(problem))


class _Watching:
    """An accepted socket, the view it has asked for, and the rights by which it may."""

    def __init__(
        self, runtime: Runtime, receive: Receive, send: Send, write_now: WriteNow | None
    ) -> None:
        self._runtime = runtime
        self._receive = receive
        self._send = send
        self._reader = Reader(write_now)
        self._ended: asyncio.Future[Close] = asyncio.get_running_loop().create_future()

    async def run(self, scope: Scope) -> None:
        """Raises Close where the server ends it; returns where the watcher has gone."""
        try:
            async with asyncio.timeout(_KNOWN_WITHIN_S):
                credential = await self._credential_of(scope)
        except Unauthenticated as problem:
            raise Close(UNAUTHENTICATED, problem.detail) from problem
        if KeyScope.READ not in credential.actor.can:
            raise Close(FORBIDDEN, "this needs the scope “read”")
        self._runtime.rights.hold(credential)
        try:
            limits = Limits.of(credential.actor)
            await converse(
                self._read(limits),
                tell(self._reader.next, self._send, within_s=_SEND_WITHIN_S),
                ended=self._ended,
            )
        finally:
            self._runtime.rights.release(credential)
            self._runtime.hub.leave(self._reader)

    async def _credential_of(self, scope: Scope) -> Credential:
        # Without an Origin nobody knows whose page it is that a session's cookie came with.
        if header(scope, b"authorization") is not None or header(scope, b"origin") is None:
            return await self._by_key(scope)
        return await self._by_session(scope)

    async def _by_session(self, scope: Scope) -> Credential:
        visitor = await visitor_of(scope, self._runtime.pool)
        if visitor is None:
            raise Unauthenticated("Sign in first.")
        return Credential(
            actor=visitor.actor,
            session_key=visitor.session_key,
            password=visitor.password,
            role=visitor.role,
            revoke=self._revoke,
        )

    async def _by_key(self, scope: Scope) -> Credential:
        actor = await self._runtime.keyring.actor_of(scope)
        _, _, text = (header(scope, b"authorization") or "").partition(" ")
        return Credential(actor=actor, key_hash=key_hash(text.strip()), revoke=self._revoke)

    def _revoke(self) -> None:
        self._end(Close(UNAUTHENTICATED, "rights have changed"))

    async def _read(self, limits: Limits) -> None:
        flood = Flood()
        joining: asyncio.Task[None] | None = None
        try:
            while (message := await self._receive())["type"] != "websocket.disconnect":
                if flood.is_more(1, now=time.monotonic()):
                    raise Close(OVERLOADED, "too many frames")
                try:
                    frame: Subscribe | Ping = _decode(message.get("text") or "")
                except (msgspec.DecodeError, UnicodeError, RecursionError) as problem:
                    raise Close(NOT_UNDERSTOOD, str(problem)) from problem
                if isinstance(frame, Subscribe):
                    # Beside the reading: nothing is read for a watcher that has gone, or asks for something else.
                    if joining is not None:
                        joining.cancel()
                    joining = asyncio.create_task(self._subscribe(frame.match, limits))
                elif self._runtime.hub.in_sight:
                    self._reader.owe(frames.PONG)
        finally:
            if joining is not None:
                joining.cancel()

    async def _subscribe(self, match: Match, limits: Limits) -> None:
        try:
            await self._runtime.hub.join(self._reader, match, limits)
        except CallError as problem:
            self._end(Close(NOT_UNDERSTOOD, problem.detail))
        except _AWAY as problem:
            self._end(_turned_away(problem))
        except Exception:  # nobody waits for this task; the watcher is told, and may try again
            _log.exception("board not read", match=match)
            self._end(Close(OVERLOADED, "the board could not be read"))

    def _end(self, close: Close) -> None:
        if not self._ended.done():
            self._ended.set_result(close)


def _turned_away(problem: Exception) -> Close:
    _log.warning("watcher turned away", error=str(problem).strip() or type(problem).__name__)
    return Close(OVERLOADED, "the database does not answer")
