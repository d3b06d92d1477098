"""A group of jobs without what lies beyond its keys' bounds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from breakers.db import Pool
from breakers.errors import FieldError, Overloaded
from breakers.ingest.bounds import BeyondBound
from breakers.ingest.jobs import AnyJob, Batch, Introduce, Refused

_NOTE = """
    UPDATE api_key k SET names_refused = names_refused + a.refused, names_refused_at = now()
    FROM unnest(%s::bigint[], %s::bigint[]) AS a (id, refused) WHERE k.id = a.id
"""


@dataclass
class _Parted:
    """A batch of which some events are refused, and the batch of the others."""

    whole: Batch
    errors: list[tuple[FieldError, ...]]
    kept: Batch


@dataclass
class Within:
    """The jobs that may be committed, in their order; `answer` answers for the rest afterwards."""

    jobs: list[AnyJob] = field(default_factory=list)
    _parted: list[_Parted] = field(default_factory=list)
    _turned_away: list[Introduce] = field(default_factory=list)

    @classmethod
    def of(cls, group: Sequence[AnyJob], beyond: BeyondBound) -> Within:
        within = cls()
        for job in group:
            if isinstance(job, Introduce) and beyond.refuses(job):
                within._turned_away.append(job)
                continue
            if isinstance(job, Batch):
                errors = [beyond.errors_of(event) for event in job.events]
                if any(errors):
                    events = [
                        event for event, wrong in zip(job.events, errors, strict=True) if not wrong
                    ]
                    kept = Batch(events=events, by=job.by)
                    within._parted.append(_Parted(job, errors, kept))
                    job = kept
            within.jobs.append(job)
        return within

    async def answer(self, beyond: BeyondBound) -> None:
        """Answers the jobs that were parted or turned away; those within are answered by now."""
        for job in self._turned_away:
            if not job.done.done():
                job.done.set_exception(beyond)
        for parted in self._parted:
            whole, kept = parted.whole, parted.kept
            try:
                stored = iter(await kept.done)
            except Overloaded as away:
                if not whole.done.done():
                    whole.done.set_exception(away)
                continue
            if not whole.done.done():
                whole.done.set_result(
                    [Refused(wrong) if wrong else next(stored) for wrong in parted.errors]
                )

    async def note(self, pool: Pool) -> None:
        """Counts what was refused, by key. Raises what the database raises."""
        refused: Counter[int] = Counter()
        for parted in self._parted:
            if parted.whole.by is not None:
                refused[parted.whole.by.id] += sum(map(bool, parted.errors))
        for job in self._turned_away:
            if job.by is not None:
                refused[job.by.id] += 1
        rows = sorted(refused.items())
        async with pool.connection() as connection:
            await connection.execute(_NOTE, [[id for id, _ in rows], [n for _, n in rows]])
