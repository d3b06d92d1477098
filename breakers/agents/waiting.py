"""The calls of agents that wait for a wish: bounded by key, seen as signs of life, and ended for any reason."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NoReturn
from uuid import UUID

from breakers.access import Actor
from breakers.agents.hub import HEARTBEAT_S, AgentHub
from breakers.agents.telling import Telling
from breakers.db import Pool
from breakers.desired.converge import Wish
from breakers.errors import CallError, Overloaded, TryLater, Unauthenticated
from breakers.live.bus import Bus
from breakers.live.rights import Credential, Rights
from breakers.loops import cancel, for_ever
from breakers.sql import statements

_SQL = statements("longpoll")
WAITERS_MAX = 2_000
"""Calls of one key that may wait in one process."""


class TooManyWait(TryLater):
    """The key has as many calls waiting as it may."""

    status, title = 429, "Too many calls wait"


@dataclass(frozen=True, slots=True)
class News:
    """Wishes as they were read at `read_at` (monotonic seconds)."""

    wishes: Sequence[Wish]
    read_at: float


class Look(Enum):
    """Something about the instance itself may be new."""

    AGAIN = "again"


Outcome = News | Look | CallError


class Waiter:
    """One call that waits for what is wished after `after` of these breakers (None: of all of the service); the
    first outcome stays.

    It is listed with the hub before it reads for itself. What the hub tells is what others do not know yet, which
    may begin long after `after`: it answers only who has read up to there.
    """

    def __init__(
        self, *, instance_id: int, session: UUID, breakers: frozenset[int] | None, after: int
    ) -> None:
        self.instance_id = instance_id
        self.session = session
        self.outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._breakers = breakers
        self._after = after
        self._has_read = False
        self._was_told = False

    def tell(self, telling: Telling) -> None:
        """From the hub's reading."""
        news = self._news(telling.wishes)
        if news and self._has_read:
            self.end(News(news, time.monotonic()))
        elif news:
            self._was_told = True

    def read(self, wishes: Sequence[Wish]) -> None:
        """All that is wished after `after`, from its own reading."""
        self._has_read = True
        news = self._news(wishes)
        if news:
            self.end(News(news, time.monotonic()))
        elif self._was_told:
            self.end(Look.AGAIN)

    def _news(self, wishes: Sequence[Wish]) -> list[Wish]:
        # A reading that began before ours may be the older one; numbers tell it (I6).
        return [
            wish
            for wish in wishes
            if wish.number > self._after
            and (self._breakers is None or wish.breaker_id in self._breakers)
        ]

    def end(self, outcome: Outcome) -> None:
        if not self.outcome.done():
            self.outcome.set_result(outcome)


class Waiting:
    """All waiters of this process."""

    def __init__(self, *, pool: Pool, bus: Bus, hub: AgentHub, rights: Rights) -> None:
        self._pool = pool
        self._hub = hub
        self._rights = rights
        self._waiters: set[Waiter] = set()
        self._of_key: Counter[int] = Counter()
        self._is_ending = False
        self._tasks: list[asyncio.Task[NoReturn]] = []
        bus.on("taken", self._on_taken)
        bus.on("presented", self._on_presented)

    def start(self) -> None:
        look = for_ever(self._note_those_there, name="waiting agents", every_s=HEARTBEAT_S)
        self._tasks = [asyncio.create_task(look)]

    async def stop(self) -> None:
        self.end_all()
        await cancel(self._tasks)

    def end_all(self) -> None:
        """The server ends: whoever waits is to ask another, or the next."""
        if self._is_ending:
            return
        self._is_ending = True
        for waiter in self._waiters:
            waiter.end(_restarting())

    @contextlib.contextmanager
    def place(self, waiter: Waiter, *, service: int, actor: Actor, key: bytes) -> Iterator[None]:
        """The waiter is told of whatever concerns it within the block. Raises TooManyWait, Overloaded."""
        if self._is_ending:
            raise _restarting()
        if self._of_key[actor.id] >= WAITERS_MAX:
            raise TooManyWait(f"{WAITERS_MAX} calls of this key wait already.", retry_after=5)
        revoked = Unauthenticated("This key was revoked.")
        credential = Credential(actor=actor, key_hash=key, revoke=lambda: waiter.end(revoked))
        self._of_key[actor.id] += 1
        self._waiters.add(waiter)
        self._rights.hold(credential)
        self._hub.listen(service, waiter)
        try:
            yield
        finally:
            self._hub.unlisten(service, waiter)
            self._rights.release(credential)
            self._waiters.discard(waiter)
            self._of_key[actor.id] -= 1
            if not self._of_key[actor.id]:
                del self._of_key[actor.id]

    def _on_taken(self, message: Mapping[str, Any]) -> None:
        taken = UUID(message["session"])
        self._look_again({waiter for waiter in self._waiters if waiter.session == taken})

    def _on_presented(self, message: Mapping[str, Any]) -> None:
        instance = message["instance"]
        self._look_again({waiter for waiter in self._waiters if waiter.instance_id == instance})

    async def _note_those_there(self) -> None:
        """Who waits has not gone silent; finds those whose instance was taken over or retired meanwhile."""
        waiting = list(self._waiters)
        if not waiting:
            return
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                _SQL["still_there"],
                {
                    "instances": [waiter.instance_id for waiter in waiting],
                    "sessions": [waiter.session for waiter in waiting],
                },
            )
            gone = {id for (id,) in await cursor.fetchall()}
        self._look_again({waiter for waiter in waiting if waiter.instance_id in gone})

    @staticmethod
    def _look_again(waiters: set[Waiter]) -> None:
        for waiter in waiters:
            waiter.end(Look.AGAIN)


def _restarting() -> Overloaded:
    return Overloaded("The server is restarting.", retry_after=1)
