"""Whether the rights with which a socket was opened still stand; asked for all sockets together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NoReturn

from breakers.access import Actor
from breakers.db import Pool
from breakers.keyring import Keyring
from breakers.loops import cancel, for_ever

# With the keyring's two seconds of belief this keeps the contract's five.
EVERY_S = 2.0
_SESSIONS = """
    SELECT s.session_key, p.id, p.password, p.role,
           (SELECT array_agg(e.name ORDER BY e.name) FROM person_environments pe
            JOIN environment e ON e.id = pe.environment_id WHERE pe.person_id = p.id)
    FROM django_session s, person p
    WHERE s.session_key = ANY(%s) AND s.expire_date > now() AND p.id = ANY(%s) AND p.is_active
"""


@dataclass(eq=False, kw_only=True)
class Credential:
    """By what a socket was opened: a key's hash, or a browser session and the person's stamp then."""

    actor: Actor
    revoke: Callable[[], None]
    key_hash: bytes | None = None
    session_key: str | None = None
    password: str | None = field(default=None, repr=False)
    role: str | None = None


class Rights:
    """All open sockets' credentials, looked at every two seconds."""

    def __init__(self, *, pool: Pool, keyring: Keyring) -> None:
        self._pool = pool
        self._keyring = keyring
        self._held: set[Credential] = set()
        self._tasks: list[asyncio.Task[NoReturn]] = []

    def start(self) -> None:
        watch = for_ever(self._revoke_those_gone, name="rights", every_s=EVERY_S)
        self._tasks = [asyncio.create_task(watch)]

    async def stop(self) -> None:
        await cancel(self._tasks)

    def hold(self, credential: Credential) -> None:
        self._held.add(credential)

    def release(self, credential: Credential) -> None:
        self._held.discard(credential)

    async def _revoke_those_gone(self) -> None:
        by_key = {item: item.key_hash for item in self._held if item.key_hash is not None}
        actors = await asyncio.gather(*map(self._keyring.actor_of_hash, by_key.values()))
        for credential, actor in zip(by_key, actors, strict=True):
            if not _same(credential.actor, actor):
                credential.revoke()
        by_session = [item for item in self._held if item.session_key is not None]
        if not by_session:
            return
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                _SESSIONS,
                [
                    [item.session_key for item in by_session],
                    list({item.actor.id for item in by_session}),
                ],
            )
            standing = {
                (session, person): (password, role, frozenset(environments or ()))
                for session, person, password, role, environments in await cursor.fetchall()
            }
        for credential in by_session:
            now = standing.get((credential.session_key, credential.actor.id))
            if now is None or now != (
                credential.password,
                credential.role,
                credential.actor.environments or frozenset(),
            ):
                credential.revoke()


def _same(then: Actor, now: Actor | None) -> bool:
    return now is not None and (then.can, then.environments, then.services) == (
        now.can,
        now.environments,
        now.services,
    )
