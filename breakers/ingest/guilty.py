"""A group whose transaction fails for something in it: the guilty event is looked for, and it alone is refused."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import psycopg
import structlog

from breakers.errors import FieldError, Overloaded
from breakers.ingest.jobs import AnyJob, Batch, Outcome, Refused, Stored, fail_all
from breakers.ingest.ledger import LockWhole
from breakers.ingest.registry import GoneFromRegistry
from breakers.ingest.statements import Moved

_log = structlog.get_logger(__name__)
AGAIN = (
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
    psycopg.errors.CheckViolation,  # a partition that was dropped under us
    psycopg.errors.ForeignKeyViolation,  # a remembered row that was pruned
    GoneFromRegistry,
)
"""What another attempt may mend."""
_NOT_YET = Refused((FieldError((), "could not be stored yet; send it again"),))

Write = Callable[[Sequence[AnyJob]], Awaitable[None]]


async def write_halves(group: Sequence[AnyJob], problem: Exception, *, write: Write) -> None:
    """Writes the halves of a group, or of the one job that is left of it, each by itself; of what cannot be parted the
    sender is told."""
    if len(group) > 1:
        middle = len(group) // 2
        await write(group[:middle])
        await write(group[middle:])
        return
    job = group[0]
    if isinstance(job, Batch) and len(job.events) > 1:
        middle = len(job.events) // 2
        halves = (
            Batch(events=job.events[:middle], by=job.by),
            Batch(events=job.events[middle:], by=job.by),
        )
        for half in halves:
            if job.done.done():
                return  # told meanwhile that it is not stored
            await write([half])
        await _answer_of(job, halves)
        return
    not_yet = (*AGAIN, LockWhole, Moved, psycopg.errors.UniqueViolation, psycopg.ProgrammingError)
    if isinstance(problem, not_yet):
        # Others were first each time, or the tables are those of another version: nothing is wrong with it, and it
        # may well be stored in a moment.
        _log.warning("not stored yet", job=type(job).__name__, error=type(problem).__name__)
        fail_all([job], Overloaded("Could not be stored yet.", retry_after=1))
        return
    _log.error("not stored", job=type(job).__name__, exc_info=problem)
    if isinstance(job, Batch):
        job.answer([Refused((FieldError((), "could not be stored"),))])
    else:
        fail_all([job], Overloaded("Could not be stored."))


async def _answer_of(job: Batch, halves: Sequence[Batch]) -> None:
    """What became of a job by what became of its halves: all is to be sent again where some could not be stored
    and no harm comes of it, for a repeat is known by its id."""
    outcomes: list[Outcome] = []
    problem, is_harmless = None, True
    for half in halves:
        try:
            told = await half.done
        except Overloaded as away:
            problem = away
            outcomes += [_NOT_YET] * len(half.events)
        else:
            outcomes += told
            is_harmless &= all(
                event.named or outcome is not Stored.ACCEPTED
                for event, outcome in zip(half.events, told, strict=True)
            )
    if problem is not None and is_harmless:
        fail_all([job], problem)
    else:
        job.answer(outcomes)
