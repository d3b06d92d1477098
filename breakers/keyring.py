"""API keys for the bare applications: looked up once, believed for two seconds.

So a revoked key is refused within that time in every process, and a busy one costs no query a request. It is looked up
again before it is no longer believed, and all that is asked for meanwhile is looked up together: neither a fleet that
comes back at once nor somebody who makes keys up takes more than one connection, or has others wait for longer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache

from breakers.access import Actor
from breakers.asgi import Scope as AsgiScope
from breakers.asgi import headers
from breakers.db import Pool
from breakers.errors import Unauthenticated
from breakers.keys import key_hash
from breakers.models import Scope

BELIEVED_S = 2.0
_REFRESHED_S = 1.0
_REMEMBERED = 10_000
_AT_ONCE = 1000
_HEADER_MAX = 256
"""Bytes of a header that is remembered: anybody may send one."""
_LOOK_UP = """
    SELECT k.hash, k.last_used_at IS NULL OR k.last_used_at < now() - interval '1 minute', k.id, k.name, k.scopes, e.name,
           k.service_names, k.events_per_second, k.names_max
    FROM api_key k LEFT JOIN environment e ON e.id = k.environment_id
    WHERE k.hash = ANY(%s) AND k.revoked_at IS NULL
"""
# Not of a key that somebody holds: the others would have to wait.
_USED = """
    UPDATE api_key SET last_used_at = now()
    WHERE id IN (SELECT id FROM api_key WHERE id = ANY(%s) FOR NO KEY UPDATE SKIP LOCKED)
"""


class Keyring:
    """The keys that this process has seen lately."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._known: dict[bytes, tuple[float, Actor]] = {}
        self._unknown: dict[bytes, float] = {}
        """Both by hash, with the time until which that is believed. The unknown by themselves: whoever makes keys up
        pushes nobody's out."""
        self._at: dict[tuple[bytes, str], tuple[Actor, Actor]] = {}
        """By hash and address: the actor that is known, and the same at that address."""
        self._asked: dict[bytes, asyncio.Future[Actor | None]] = {}
        self._next: list[bytes] = []
        """Of what is asked for that which is not being looked up yet."""
        self._looking: asyncio.Task[None] | None = None

    async def actor_of(self, scope: AsgiScope) -> Actor:
        """Who sends this request or opens this socket; raises Unauthenticated."""
        said = headers(scope).get(b"authorization", b"")
        hashed = _remembered_hash(said) if len(said) <= _HEADER_MAX else _hash_in(said)
        if hashed is None:
            raise Unauthenticated("Send “Authorization: Bearer KEY”.")
        actor = self._believed(hashed) or await self.actor_of_hash(hashed)
        if actor is None:
            raise Unauthenticated("This key is unknown or revoked.")
        client = scope.get("client")
        return self._at_address(hashed, actor, client[0]) if client else actor

    def _at_address(self, hashed: bytes, actor: Actor, address: str) -> Actor:
        # To make one takes as long as all else here.
        known, there = self._at.get((hashed, address), (None, actor))
        if known is actor:
            return there
        if len(self._at) >= _REMEMBERED:
            self._at.clear()
        there = replace(actor, address=address)
        self._at[hashed, address] = actor, there
        return there

    async def actor_of_hash(self, hashed: bytes) -> Actor | None:
        """The actor of a key by its hash, or None where it is unknown or revoked. Raises what the pool raises."""
        known = self._believed(hashed)
        if known is not None:
            return known
        if time.monotonic() < self._unknown.get(hashed, 0.0):
            return None
        # Others may wait for the same answer, so who goes away does not end it.
        return await asyncio.shield(self._ask(hashed))

    def _believed(self, hashed: bytes) -> Actor | None:
        until, actor = self._known.get(hashed, (0.0, None))
        left = until - time.monotonic()
        if left <= 0:
            return None
        if left < BELIEVED_S - _REFRESHED_S:
            self._ask(hashed)
        return actor

    def _ask(self, hashed: bytes) -> asyncio.Future[Actor | None]:
        asked = self._asked.get(hashed)
        if asked is None:
            asked = self._asked[hashed] = asyncio.get_running_loop().create_future()
            self._next.append(hashed)
            if self._looking is None or self._looking.done():
                self._looking = asyncio.create_task(self._look(), name="keyring")
        return asked

    async def _look(self) -> None:
        """Answers all that is asked for, and what is asked meanwhile."""
        while self._next:
            hashes, self._next = self._next[:_AT_ONCE], self._next[_AT_ONCE:]
            began = time.monotonic()
            try:
                actors = await self._look_up(hashes)
            except Exception as problem:
                # Those that came meanwhile would wait as long once more.
                self._fail(problem)
                return
            for hashed in hashes:
                actor = actors.get(hashed)
                self._note(hashed, actor, until=began + BELIEVED_S)
                self._asked.pop(hashed).set_result(actor)

    def _fail(self, problem: Exception) -> None:
        asked, self._asked, self._next = self._asked, {}, []
        for answer in asked.values():
            answer.set_exception(problem)
            answer.exception()  # nobody may wait for it: who asks next looks again

    def _note(self, hashed: bytes, actor: Actor | None, *, until: float) -> None:
        for believed in (self._known, self._unknown):
            if len(believed) >= _REMEMBERED:
                believed.clear()
        if actor is not None:
            self._known[hashed] = until, actor
        else:
            self._known.pop(hashed, None)
            self._unknown[hashed] = until

    async def _look_up(self, hashes: list[bytes]) -> dict[bytes, Actor]:
        async with self._pool.connection() as connection:
            rows = await (await connection.execute(_LOOK_UP, [hashes])).fetchall()
            used = [id for _, is_due, id, *_ in rows if is_due]
            if used:
                await connection.execute(_USED, [used])
        return {bytes(hashed): _actor_of(*values) for hashed, _, *values in rows}


def _actor_of(
    id: int,
    name: str,
    scopes: Iterable[str],
    environment: str | None,
    services: Iterable[str] | None,
    events_per_second: int | None,
    names_max: int | None,
) -> Actor:
    return Actor(
        kind="key",
        id=id,
        name=name,
        can=frozenset(Scope(item) for item in scopes),
        environments=frozenset({environment}) if environment else None,
        services=None if services is None else frozenset(services),
        events_per_second=events_per_second,
        names_max=names_max,
    )


def _hash_in(said: bytes) -> bytes | None:
    """That of the key in an Authorization header, if there is one."""
    scheme, _, text = said.decode("latin-1").partition(" ")
    text = text.strip()
    return key_hash(text) if text and scheme.lower() == "bearer" else None


_remembered_hash = lru_cache(maxsize=1024)(_hash_in)
"""To find it costs as much as all else here. So the last thousand headers are in memory, as those of all that are
connected are in the server's."""
