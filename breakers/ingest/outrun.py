"""Agents that have applied more than was ever wished here: PostgreSQL was restored from an older backup.

An agent never goes back (I6), so it would be deaf to every wish until the revisions have caught up with it.
The breaker's revision is therefore raised past what the agent has, what stands is wished anew, and the audit log
says so. An agent may also be mistaken, or lie: beyond what a backup can lack it is not believed, and told so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from breakers.ingest.jobs import AnyJob, Introduce, Report
from breakers.ingest.registry import Registry
from breakers.ingest.statements import Statements

AHEAD_MAX = 1_000_000
"""Revisions of one breaker that a backup may lack: a change a second for eleven days."""
_REVISION_MAX = 2**40
"""No panel gets there, and agents cannot take it there in steps: what is left of the numbers is for hands."""


class _Said(NamedTuple):
    """A revision that an instance has heard of."""

    breaker: int
    revision: int
    instance: int


@dataclass(frozen=True, slots=True)
class _Behind:
    """A breaker whose revision was left behind, by whom, and the number of the wish that this makes."""

    said: _Said
    service: int
    number: int


class Outrun:
    """Two steps, for the service's lock comes before the breaker's, as in `desired.revise`."""

    def __init__(self, db: Statements) -> None:
        self._db = db
        self._behind: list[_Behind] = []

    @property
    def services(self) -> set[int]:
        """Services in which something is wished anew."""
        return {one.service for one in self._behind}

    async def look(self, registry: Registry, jobs: Iterable[AnyJob]) -> None:
        """Finds the breakers that are behind an agent, and locks their services."""
        # A whole fleet says the same at once.
        said = {one[:2]: one for one in _said(registry, jobs) if 0 < one.revision < _REVISION_MAX}
        if not said:
            return
        breakers, revisions, instances = zip(*said.values(), strict=True)
        found = await self._db.fetch(
            "behind",
            breakers=list(breakers),
            revisions=list(revisions),
            instances=list(instances),
            ahead_max=AHEAD_MAX,
        )
        numbers: dict[int, int] = {}
        for service in sorted({service for *_, service in found}):
            [(numbers[service],)] = await self._db.fetch("number_wish", service=service)
        self._behind = [
            _Behind(_Said(*said), service, numbers[service]) for *said, service in found
        ]

    async def catch_up(self) -> None:
        """Raises the revisions; the breakers are locked by now."""
        for one in self._behind:
            await self._db.execute("catch_up", number=one.number, **one.said._asdict())


def _said(registry: Registry, jobs: Iterable[AnyJob]) -> Iterator[_Said]:
    for job in jobs:
        match job:
            case Introduce():
                service = registry.service_id(job.environment, job.hello.service)
                instance = registry.instance_id(service, job.hello.instance)
                for item in job.hello.breakers:
                    breaker = registry.breaker_id(service, item.breaker)
                    yield _Said(breaker, item.applied_revision or 0, instance)
            case Report():
                yield _Said(job.breaker_id, job.applied.revision, job.instance_id)
