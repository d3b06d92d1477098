"""Writers side by side, each with services of its own: while one waits for PostgreSQL, another computes.

All that concerns one service goes through one writer, in order. Events of a request that are another's
are committed beside, and the request is answered when all are.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence

from breakers.db import Pool
from breakers.errors import Overloaded
from breakers.ingest.commit import Effects
from breakers.ingest.jobs import Answer, Batch, Introduce, Job, Outcome, Stored
from breakers.ingest.queue import WAITING_MAX, Writer

LANES = 2
"""One computes while the other waits; a third would find the processor taken."""
_Part = tuple[Sequence[int], asyncio.Future[list[Outcome]]]


class Lanes:
    """All writers of this process, as one."""

    def __init__(self, pool: Pool, *, committed: Callable[[Effects], Awaitable[None]]) -> None:
        self.writers = [Writer(pool, committed=committed) for _ in range(LANES)]
        self._joining: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        for writer in self.writers:
            writer.start()

    async def stop(self, *, within_s: float = 10) -> None:
        """Commits what waits, for at most `within_s` seconds, and ends."""
        await asyncio.gather(*[writer.stop(within_s=within_s) for writer in self.writers])
        await asyncio.gather(*self._joining)

    async def commit(self, job: Job[Answer]) -> Answer:
        """The job's answer, after its commit. Raises Overloaded where it is not known to be stored whole."""
        return await self.submit(job)

    def submit(self, job: Job[Answer]) -> asyncio.Future[Answer]:
        """Queues the job here and now, so that jobs of one service are committed in the order of their
        submission. The future has the answer, or Overloaded, which is raised at once where a queue is full."""
        if isinstance(job, Batch):
            return self._submit_batch(job)  # type: ignore[return-value]  # its answer are outcomes
        return self._writer_of(_service_of(job)).submit(job)

    def _submit_batch(self, job: Batch) -> asyncio.Future[list[Outcome]]:
        parts: dict[Writer, list[int]] = defaultdict(list)
        for index, event in enumerate(job.events):
            parts[self._writer_of(event.service)].append(index)
        if len(parts) < 2:
            return next(iter(parts), self.writers[0]).submit(job)
        if any(writer.waiting + len(part) > WAITING_MAX for writer, part in parts.items()):
            raise Overloaded("Too much waits to be stored.", retry_after=2)
        submitted = [
            (part, writer.submit(Batch(events=[job.events[at] for at in part], by=job.by)))
            for writer, part in parts.items()
        ]
        task = asyncio.create_task(_join(job, submitted), name="ingest join")
        self._joining.add(task)
        task.add_done_callback(self._joining.discard)
        return job.done

    def _writer_of(self, service: str) -> Writer:
        return self.writers[hash(service) % LANES]


def _service_of(job: Job[Answer]) -> str:
    """Empty where a job concerns several: it is of silent instances, whose order is no matter."""
    return job.hello.service if isinstance(job, Introduce) else job.service


async def _join(whole: Batch, parts: Sequence[_Part]) -> None:
    outcomes: list[Outcome] = [Stored.ACCEPTED] * len(whole.events)
    problem: Exception | None = None
    for indexes, stored in parts:
        try:
            for index, outcome in zip(indexes, await stored, strict=True):
                outcomes[index] = outcome
        except Overloaded as away:
            problem = away
    if whole.done.done():
        return
    if problem is not None:
        whole.done.set_exception(problem)
    else:
        whole.done.set_result(outcomes)
