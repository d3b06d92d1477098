"""Agents that have applied more than was ever wished here: PostgreSQL was restored from an older backup.

An agent never goes back (I6), so it would be deaf to every wish until the revisions have caught up with it.
The breaker's revision is therefore raised past what the agent has, and what stands is wished anew.
"""

from __future__ import annotations

from collections.abc import Iterable

from breakers.ingest.jobs import AnyJob, Introduce
from breakers.ingest.registry import Registry
from breakers.ingest.statements import Statements

# No panel gets there; an agent that says so is mistaken, and must not use up the numbers for the others.
_REVISION_MAX = 2**40


class Outrun:
    """Two steps, for the service's lock comes before the breaker's, as in `desired.revise`."""

    def __init__(self, db: Statements) -> None:
        self._db = db
        self._applied: dict[int, int] = {}
        self._numbers: dict[int, tuple[int, int]] = {}

    @property
    def services(self) -> set[int]:
        """Services in which something is wished anew."""
        return {service for service, _ in self._numbers.values()}

    async def look(self, registry: Registry, jobs: Iterable[AnyJob]) -> None:
        """Finds the breakers that are behind an agent, and locks their services."""
        for job in jobs:
            if isinstance(job, Introduce):
                service = registry.service_id(job.environment, job.hello.service)
                for item in job.hello.breakers:
                    if item.applied_revision and item.applied_revision < _REVISION_MAX:
                        id = registry.breaker_id(service, item.breaker)
                        self._applied[id] = max(self._applied.get(id, 0), item.applied_revision)
        if not self._applied:
            return
        behind = await self._db.fetch(
            "behind", breakers=list(self._applied), applied=list(self._applied.values())
        )
        numbers: dict[int, int] = {}
        for service in sorted({service for _, service in behind}):
            [(numbers[service],)] = await self._db.fetch("number_wish", service=service)
        self._numbers = {id: (service, numbers[service]) for id, service in behind}

    async def catch_up(self) -> None:
        """Raises the revisions; the breakers are locked by now."""
        for breaker, (_, number) in sorted(self._numbers.items()):
            await self._db.execute(
                "catch_up", breaker=breaker, number=number, applied=self._applied[breaker]
            )
