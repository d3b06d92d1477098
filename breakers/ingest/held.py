"""Breakers that somebody else holds: who asks for those is told so, and all others need not wait for them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence, Set

from breakers.db import Connection
from breakers.ingest.jobs import AnyJob, Batch, Disconnect, Introduce, Lose, Report, Retire, Settle
from breakers.ingest.registry import Registry

_OF_INSTANCES = "SELECT instance_id, breaker_id FROM breaker_instance WHERE instance_id = ANY(%s)"
_FREE = "SELECT id FROM breaker WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED"
_THERE = "SELECT id FROM breaker WHERE id = ANY(%s)"
_REMEMBERED_S = 30.0
_MORE_LOOKS, _BETWEEN_S = 2, 0.05


class HeldElsewhere:
    """What a writer has waited for in vain; it is looked at again before anything of it is written."""

    def __init__(self) -> None:
        self._breakers: set[int] = set()
        self._found_at = 0.0

    @property
    def is_anybody(self) -> bool:
        return bool(self._breakers)

    async def part(
        self, connection: Connection, registry: Registry, group: Sequence[AnyJob], *, waited: bool
    ) -> tuple[list[AnyJob], list[AnyJob]]:
        """The jobs that can be committed, and those that must wait: in vain they have `waited` for some breaker,
        else only what is known to be held is looked at."""
        if time.monotonic() - self._found_at > _REMEMBERED_S:
            self._breakers.clear()  # of what nobody has asked for since, nobody need think
        if not (waited or self._breakers):
            return list(group), []
        asked = await _breakers_of(connection, registry, group)
        looked = {breaker for breakers in asked for breaker in breakers}
        if not waited:
            looked &= self._breakers
        if not looked:
            return list(group), []
        held = await _still_held(connection, looked)
        for _ in range(_MORE_LOOKS):
            if held:
                # What another writer is about to commit is no longer held in a moment.
                await asyncio.sleep(_BETWEEN_S)
                held = await _still_held(connection, held)
        self._breakers = (self._breakers - looked) | held
        if held:
            self._found_at = time.monotonic()
        parts: tuple[list[AnyJob], list[AnyJob]] = [], []
        for job, breakers in zip(group, asked, strict=True):
            parts[bool(breakers & self._breakers)].append(job)
        return parts


async def _still_held(connection: Connection, breakers: Set[int]) -> set[int]:
    ids = [sorted(breakers)]
    async with connection.transaction():
        free = {id for (id,) in await (await connection.execute(_FREE, ids)).fetchall()}
        # One that is gone is nobody's: the commit finds that out.
        there = {id for (id,) in await (await connection.execute(_THERE, ids)).fetchall()}
    return there - free


async def _breakers_of(
    connection: Connection, registry: Registry, group: Sequence[AnyJob]
) -> list[set[int]]:
    """The breakers that each job would lock; of names that are not known yet none is held."""
    named = [_named_by(registry, job) for job in group]
    instances = {id for _, ids in named for id in ids}
    of_instance: dict[int, set[int]] = {id: set() for id in instances}
    if instances:
        async with connection.transaction():
            cursor = await connection.execute(_OF_INSTANCES, [sorted(instances)])
            for instance, breaker in await cursor.fetchall():
                of_instance[instance].add(breaker)
    return [breakers.union(*(of_instance[id] for id in ids)) for breakers, ids in named]


def _named_by(registry: Registry, job: AnyJob) -> tuple[set[int], set[int]]:
    """Breakers, and instances of which it is about all breakers."""
    match job:
        case Batch():
            known = filter(None, map(registry.known_ids, job.events))
            return {breaker for _, (breaker, _) in known}, set()
        case Report():
            return {job.breaker_id}, set()
        case Introduce():
            return _of_hello(registry, job)
        case Lose():
            return set(), set(job.instance_ids)
        case Retire() | Disconnect() | Settle():
            return set(), {job.instance_id}
    raise TypeError(f"no breakers of {type(job).__name__}")


def _of_hello(registry: Registry, job: Introduce) -> tuple[set[int], set[int]]:
    try:
        service = registry.service_id(job.environment, job.hello.service)
        breakers = {registry.breaker_id(service, item.breaker) for item in job.hello.breakers}
        return breakers, {registry.instance_id(service, job.hello.instance)}
    except KeyError:
        return set(), set()
