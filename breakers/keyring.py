"""API keys for the bare applications: looked up once, believed for two seconds.

So a revoked key is refused within that time in every process, and a busy one costs no query a request. It is looked up
again before it is no longer believed, and once for all that ask: of a thousand agents with one key none waits for it,
and the connections are left to others.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from breakers.access import Actor
from breakers.asgi import Scope as AsgiScope
from breakers.asgi import header
from breakers.db import Pool
from breakers.errors import Overloaded, Unauthenticated
from breakers.keys import key_hash
from breakers.models import Scope

BELIEVED_S = 2.0
_REFRESHED_S = 1.0
_REMEMBERED = 10_000
# Whoever makes keys up by the thousand takes few connections, and not all the time of those who have one.
_AT_ONCE, _UNKNOWN_MAX = 2, 1000
_LOOK_UP = """
    SELECT k.id, k.name, k.scopes, e.name, k.service_names, k.events_per_second, k.names_max
    FROM api_key k LEFT JOIN environment e ON e.id = k.environment_id
    WHERE k.hash = %s AND k.revoked_at IS NULL
"""
_USED = """
    UPDATE api_key SET last_used_at = now()
    WHERE id = %s AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')
"""


class Keyring:
    """The keys that this process has seen lately."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._known: dict[bytes, tuple[float, Actor | None]] = {}
        self._at: dict[tuple[bytes, str], tuple[Actor, Actor]] = {}
        """By hash and address: the actor that is known, and the same at that address."""
        self._looks: dict[bytes, asyncio.Task[Actor | None]] = {}
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def actor_of(self, scope: AsgiScope) -> Actor:
        """Who sends this request or opens this socket; raises Unauthenticated."""
        text = _bearer(header(scope, b"authorization"))
        if text is None:
            raise Unauthenticated("Send “Authorization: Bearer KEY”.")
        hashed = key_hash(text)
        actor = await self.actor_of_hash(hashed)
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
        """The actor of a key by its hash, or None where it is unknown or revoked. Raises Overloaded where too many
        are looked up already."""
        until, actor = self._known.get(hashed, (0.0, None))
        left_s = until - time.monotonic()
        if left_s <= 0:
            # Others may wait for the same look, so who goes away does not end it.
            return await asyncio.shield(self._look(hashed))
        if left_s < BELIEVED_S - _REFRESHED_S and actor is not None:
            self._look(hashed)
        return actor

    def _look(self, hashed: bytes) -> asyncio.Task[Actor | None]:
        """The one look that is under way."""
        look = self._looks.get(hashed)
        if look is None:
            if hashed not in self._known and len(self._looks) >= _UNKNOWN_MAX:
                raise Overloaded("Too many keys are looked up.", retry_after=2)
            look = self._looks[hashed] = asyncio.create_task(self._look_up_and_note(hashed))
            look.add_done_callback(_heard)
        return look

    async def _look_up_and_note(self, hashed: bytes) -> Actor | None:
        try:
            async with self._turns:
                began = time.monotonic()
                actor = await self._look_up(hashed)
        finally:
            del self._looks[hashed]
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[hashed] = (began + BELIEVED_S, actor)
        return actor

    async def _look_up(self, hashed: bytes) -> Actor | None:
        async with self._pool.connection() as connection:
            row = await (await connection.execute(_LOOK_UP, [hashed])).fetchone()
            if row is None:
                return None
            id, name, scopes, environment, services, events_per_second, names_max = row
            await connection.execute(_USED, [id])
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


def _heard(look: asyncio.Task[Actor | None]) -> None:
    """Where it failed and nobody waits for it, who asks next looks again."""
    if not look.cancelled():
        look.exception()


def _bearer(said: str | None) -> str | None:
    scheme, _, text = (said or "").partition(" ")
    return text.strip() or None if scheme.lower() == "bearer" else None
