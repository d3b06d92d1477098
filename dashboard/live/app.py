"""`/live/v1`: browsers with a session, and programs with a key, watch the board."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

import msgspec
import psycopg
import structlog
from channels.consumer import AsyncConsumer
from channels.db import database_sync_to_async
from channels.exceptions import StopConsumer
from psycopg_pool import PoolTimeout

from breakers.access import Actor, actor_of_person
from breakers.asgi import header
from breakers.errors import CallError, Unauthenticated
from breakers.keys import key_hash
from breakers.live import frames
from breakers.live.hub import Reader
from breakers.live.match import Limits, Match
from breakers.live.rights import Credential
from breakers.models import Person, Scope
from breakers.origins import origin_is_ours
from breakers.runtime import Runtime

_log = structlog.get_logger(__name__)
NOT_UNDERSTOOD, UNAUTHENTICATED, FORBIDDEN, OVERLOADED = 4400, 4401, 4403, 1013
_SEND_WITHIN_S = 10
_AWAY = (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, OSError)


class Subscribe(msgspec.Struct, frozen=True, tag="subscribe"):
    """Which breakers to tell of, from now on."""

    match: Match = Match()


class Ping(msgspec.Struct, frozen=True, tag="ping"):
    """Asks whether the picture is live; no answer means that it is not."""


_decode = msgspec.json.Decoder(Subscribe | Ping).decode


class LiveConsumer(AsyncConsumer):  # type: ignore[misc]  # channels has no types
    """One socket. It holds no channel of the channel layer: the hub listens for all."""

    channel_layer_alias = "none: the hub listens for all sockets"

    def __init__(self, *, runtime: Runtime) -> None:
        self._runtime = runtime
        self._reader = Reader()
        self._credential: Credential | None = None
        self._writer: asyncio.Task[None] | None = None

    async def websocket_connect(self, message: Mapping[str, Any]) -> None:
        by_session = header(self.scope, b"authorization") is None
        if not origin_is_ours(self.scope, required=by_session):
            await self.send({"type": "websocket.close", "code": 1008})  # unaccepted: HTTP 403
            return
        await self.send({"type": "websocket.accept"})
        try:
            self._credential = (
                await self._by_session(self.scope["user"]) if by_session else await self._by_key()
            )
        except Unauthenticated as problem:
            await self._close(UNAUTHENTICATED, problem.detail)
            return
        except _AWAY:
            await self._close(OVERLOADED, "the database does not answer")
            return
        if Scope.READ not in self._credential.actor.can:
            await self._close(FORBIDDEN, "this needs the scope “read”")
            return
        self._runtime.rights.hold(self._credential)
        self._writer = asyncio.create_task(self._write(), name="live writer")

    async def _by_session(self, user: Any) -> Credential:
        person = await database_sync_to_async(_person)(user)
        if person is None:
            raise Unauthenticated("Sign in first.")
        person, actor = person
        return Credential(
            actor=actor,
            session_key=self.scope["session"].session_key,
            password=person.password,
            role=person.role,
            revoke=self._revoke,
        )

    async def _by_key(self) -> Credential:
        actor = await self._runtime.keyring.actor_of(self.scope)
        _, _, text = (header(self.scope, b"authorization") or "").partition(" ")
        return Credential(actor=actor, key_hash=key_hash(text.strip()), revoke=self._revoke)

    def _revoke(self) -> None:
        self._revoked = asyncio.ensure_future(self._close(UNAUTHENTICATED, "rights have changed"))

    async def websocket_receive(self, message: Mapping[str, Any]) -> None:
        if self._credential is None:
            return
        try:
            frame: Subscribe | Ping = _decode(message.get("text") or "")
        except (msgspec.DecodeError, UnicodeError, RecursionError) as problem:
            await self._close(NOT_UNDERSTOOD, str(problem))
            return
        if isinstance(frame, Ping):
            if self._runtime.hub.in_sight:
                self._reader.owe(frames.PONG)
            return
        try:
            await self._runtime.hub.join(
                self._reader, frame.match, Limits.of(self._credential.actor)
            )
        except CallError as problem:
            await self._close(NOT_UNDERSTOOD, problem.detail)
        except _AWAY:
            await self._close(OVERLOADED, "the database does not answer")

    async def websocket_disconnect(self, message: Mapping[str, Any]) -> None:
        self._end()
        raise StopConsumer

    async def _write(self) -> None:
        with contextlib.suppress(OSError, RuntimeError):  # the socket has gone
            while True:
                frame = await self._reader.next()
                try:
                    async with asyncio.timeout(_SEND_WITHIN_S):
                        await self.send({"type": "websocket.send", "text": frame})
                except TimeoutError:
                    await self._close(OVERLOADED, "too slow to be told")
                    return

    async def _close(self, code: int, reason: str) -> None:
        self._end()
        self._credential = None
        short = reason.encode()[:120].decode(errors="ignore")
        with contextlib.suppress(OSError, RuntimeError):
            await self.send({"type": "websocket.close", "code": code, "reason": short})

    def _end(self) -> None:
        self._runtime.hub.leave(self._reader)
        if self._credential is not None:
            self._runtime.rights.release(self._credential)
        if self._writer is not None and self._writer is not asyncio.current_task():
            self._writer.cancel()


def _person(user: Any) -> tuple[Person, Actor] | None:
    """The person behind a session, freshly read, and what they may."""
    if not user.is_authenticated:
        return None
    person = Person.objects.filter(pk=user.pk, is_active=True).first()
    return None if person is None else (person, actor_of_person(person))
