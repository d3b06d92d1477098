"""The bounded queue before the database, and the one writer of this process that empties it."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import NoReturn, TypeVar

import psycopg
import structlog
from psycopg_pool import PoolTimeout, TooManyRequests

from breakers.budget import Budget
from breakers.db import Connection, NoAnswer, Pool, Unfit
from breakers.errors import Overloaded
from breakers.ingest.beyond import Within
from breakers.ingest.bounds import BeyondBound
from breakers.ingest.commit import Care, commit_group
from breakers.ingest.draft import Draft
from breakers.ingest.effects import Effects
from breakers.ingest.guilty import AGAIN, write_halves
from breakers.ingest.held import HeldElsewhere
from breakers.ingest.jobs import AnyJob, Job, fail_all
from breakers.ingest.ledger import LockWhole
from breakers.ingest.memory import Memory
from breakers.ingest.statements import Moved
from breakers.loops import cancel, for_ever

_log = structlog.get_logger(__name__)
Answer = TypeVar("Answer")

# About ten seconds of work at full speed; more would only be answered too late.
WAITING_MAX = 50_000
GROUP_MAX = 4_000
# A draft that fails, instances to be locked whole because they are back and because boots change places, repeats, and
# what may come between.
_TRIES = 6
_AWAY = (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, TooManyRequests, OSError)
# Nobody waits for one group for more looks than so many, whatever holds it up, and so not twice as long for an answer.
# Looked at for all together: a timer for each event that comes alone would cost as much as its validation. And looks
# are counted, not seconds: in those for which this process was not run, the answer may have come.
_LOOKS_MAX, _LOOK_EACH_S = 15, 1.0
# Where repeats come, or late events, or where another process moves the same breakers, more of that follows: so many
# groups are then looked at before they are written.
_CAREFUL_FOR = 20


class Writer:
    """Takes all that waits, commits it in one transaction, then answers everyone.

    An answer therefore means: committed. A single event waits no longer than the commit in progress.
    """

    def __init__(self, pool: Pool, *, committed: Callable[[Effects], Awaitable[None]]) -> None:
        self._pool = pool
        self._committed = committed
        self._waiting: deque[AnyJob] = deque()
        self._weight = 0
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._memory = Memory()
        self._held_elsewhere = HeldElsewhere()
        self._careful_for = 0
        self._looks_for = 0
        self._draft: Draft | None = None
        """Of the first of what waits; None while nobody knows what the group before will leave behind."""
        self._next_turn: asyncio.Handle | None = None
        self._group: list[AnyJob] = []
        self._looks = 0
        """The group under way, and how often it was looked at."""
        self._held: Connection | None = None
        self._aside = Budget(GROUP_MAX)
        self._tasks: list[asyncio.Task[NoReturn]] = []

    def start(self) -> None:
        self._tasks = [
            asyncio.create_task(for_ever(self._run, name="ingest writer")),
            asyncio.create_task(
                for_ever(self._give_up_late, name="ingest patience", every_s=_LOOK_EACH_S)
            ),
        ]

    async def stop(self, *, within_s: float = 10) -> None:
        """Commits what waits, for at most `within_s` seconds, and ends."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._idle.wait()
        await cancel(self._tasks)
        self._give_up_waiting(Overloaded("The server is stopping."))
        self._idle.set()

    @property
    def waiting(self) -> int:
        """About how many rows wait or are being written."""
        return self._weight

    async def commit(self, job: Job[Answer]) -> Answer:
        """The job's answer, after its commit. Raises Overloaded where nothing of it was stored."""
        return await self.submit(job)

    async def commit_aside(self, job: Job[Answer]) -> Answer:
        """As `commit`, for what comes of a thousand instances at once and can wait, hellos and what the server itself
        finds out: a group's worth of it stands in the queue, and leaves the rest to events."""
        weight = job.weight
        await self._aside.take(weight)
        try:
            return await self.commit(job)
        finally:
            self._aside.give_back(weight)

    def submit(self, job: Job[Answer]) -> asyncio.Future[Answer]:
        """Queues the job here and now, so that jobs are committed in the order of their submission.

        The future has the answer, or Overloaded, which is raised at once where the queue is full.
        """
        if self._weight + job.weight > WAITING_MAX:
            raise Overloaded("Too much waits to be stored.", retry_after=2)
        self._waiting.append(job)
        self._weight += job.weight
        self._idle.clear()
        self._wake.set()
        if self._draft_some():
            self._draft_soon()
        return job.done

    async def _run(self) -> None:
        await self._wake.wait()
        self._wake.clear()
        try:
            while self._waiting:
                draft = self._take_draft()
                group = self._group = self._take(draft)
                self._looks = 0
                try:
                    await self._write(group, draft)
                except Exception as problem:  # the writer must live on; its senders are told
                    _log.exception("group not committed", jobs=len(group))
                    fail_all(group, Overloaded(f"Not stored: {type(problem).__name__}."))
                finally:
                    fail_all(group, Overloaded("The server is stopping."))
                    self._weight -= sum(job.weight for job in group)
                    self._group = []
        finally:
            await self._let_go()
        if not self._waiting:
            self._idle.set()

    async def _connection(self) -> Connection:
        """That of the group before, as long as there is always a next: the pool asks each whether it lives."""
        if self._held is not None and self._held.closed:
            await self._let_go()
        if self._held is None:
            self._held = await self._pool.getconn()
        return self._held

    async def _let_go(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            await self._pool.putconn(held)

    async def _give_up_late(self) -> None:
        self._looks += 1
        if self._group and self._looks > _LOOKS_MAX:
            late = Overloaded("The database does not answer.", retry_after=2)
            fail_all(self._group, late)
            self._give_up_waiting(late)

    def _give_up_waiting(self, problem: Exception) -> None:
        waiting = list(self._waiting)
        self._waiting.clear()
        self._draft = None
        self._weight -= sum(job.weight for job in waiting)
        fail_all(waiting, problem)

    def _begin_draft(self) -> None:
        """From here on it is known, or taken to be, what all groups before will have left behind."""
        looks = self._careful_for or self._looks_for or self._held_elsewhere.is_anybody
        self._draft = None if looks else Draft(self._memory, at_most=GROUP_MAX)
        self._draft_soon()

    def _draft_soon(self) -> None:
        """Some of what waits a turn, for between them the writer must hear what PostgreSQL answers."""
        if self._next_turn is None:
            self._next_turn = asyncio.get_running_loop().call_soon(self._draft_more)

    def _draft_more(self) -> None:
        self._next_turn = None
        if self._draft_some():
            self._draft_soon()

    def _draft_some(self) -> bool:
        if self._draft is None:
            return False
        try:
            return self._draft.judge_some(self._waiting)
        except Exception:  # whose fault it is, is found out where it is committed
            self._draft = None
            return False

    def _take_draft(self) -> Draft | None:
        """The draft, if it can be written, with all that waits and can be in it."""
        if self._draft is None:
            self._begin_draft()
        while self._draft_some():
            pass
        draft, self._draft = self._draft, None
        if draft is not None and draft.is_spoiled:
            self._looks_for = _CAREFUL_FOR
            return None
        if draft is None or not draft.jobs or not draft.is_worth_while(self._waiting):
            return None
        # Who was told meanwhile that it is not stored is not to be stored.
        if any(job.done.done() for job in draft.jobs):
            return None
        return draft

    def _take(self, draft: Draft | None) -> list[AnyJob]:
        if draft is not None:
            return [self._waiting.popleft() for _ in draft.jobs]
        group: list[AnyJob] = [self._waiting.popleft()]
        weight = group[0].weight
        while self._waiting and weight + self._waiting[0].weight <= GROUP_MAX:
            group.append(self._waiting.popleft())
            weight += group[-1].weight
        return group

    async def _write(self, group: Sequence[AnyJob], draft: Draft | None = None) -> None:
        # Of a group that is written in parts, some may have been told already that they are not stored.
        group = [job for job in group if not job.done.done()]
        if not group:
            return
        try:
            effects = await self._commit_free(group, draft)
        except BeyondBound as beyond:
            await self._write_within(group, beyond)
            return
        except psycopg.errors.LockNotAvailable:
            # For seconds already, and to wait again takes as long again from all that wait behind.
            _log.warning("held elsewhere", jobs=len(group))
            fail_all(group, Overloaded("Held by somebody else.", retry_after=2))
            return
        except _AWAY as problem:
            await self._let_go()
            # Also when COMMIT itself was cut off: whether it held is unknown, so nobody is told it did.
            _log.warning("database away", error=str(problem).strip(), jobs=len(group))
            away = Overloaded("The database does not answer.", retry_after=2)
            fail_all(group, away)
            if isinstance(problem, NoAnswer | PoolTimeout):
                # That took seconds, and will again: what came meanwhile has waited long enough.
                self._give_up_waiting(away)
            return
        except Exception as problem:
            # Data, or a fault of ours that some data brings out: others must not suffer for it.
            await write_halves(group, problem, write=self._write)
            return
        for job in group:
            job.answer(effects.answers.get(job))
        await self._committed(effects)

    async def _write_within(self, group: Sequence[AnyJob], beyond: BeyondBound) -> None:
        within = Within.of(group, beyond)
        await self._write(within.jobs)
        try:
            await within.note(self._pool)
        except _AWAY as problem:
            _log.warning("refused names not counted", error=str(problem).strip())
        await within.answer(beyond)

    async def _commit_free(self, group: Sequence[AnyJob], draft: Draft | None) -> Effects:
        """Commits the jobs whose breakers nobody else holds, and answers the others. Raises LockNotAvailable where it
        waited for something else in vain."""
        free = await self._set_apart(group, waited=False)
        while free:
            try:
                return await self._commit_with_retries(free, draft)
            except (psycopg.errors.LockNotAvailable, psycopg.errors.QueryCanceled):
                # For one lock, or for several one after the other.
                draft = None
                waited, free = free, await self._set_apart(free, waited=True)
                if len(free) == len(waited):
                    raise
        return Effects()

    async def _set_apart(self, group: Sequence[AnyJob], *, waited: bool) -> Sequence[AnyJob]:
        free, held = await self._held_elsewhere.part(
            await self._connection(), self._memory.registry, group, waited=waited
        )
        if held:
            _log.warning("breakers held elsewhere", jobs=len(held))
            problem = Overloaded("A breaker of these is held by somebody else.", retry_after=2)
            fail_all(held, problem)
        return free

    async def _write_draft(self, connection: Connection, draft: Draft) -> Effects:
        try:
            return await draft.write(connection, noted=self._begin_draft)
        except BaseException:
            self._draft = None  # what it was built on does not hold
            raise

    async def _commit_with_retries(self, group: Sequence[AnyJob], draft: Draft | None) -> Effects:
        self._careful_for = max(0, self._careful_for - 1)
        self._looks_for = max(0, self._looks_for - 1)
        care = Care(repeats=self._careful_for > 0)
        for attempt in range(1, _TRIES + 1):
            try:
                connection = await self._connection()
                # Who was told while the pool had none that it is not stored is not to be stored.
                if any(job.done.done() for job in group):
                    draft, group = None, [job for job in group if not job.done.done()]
                if draft is not None:
                    written, draft = draft, None
                    return await self._write_draft(connection, written)
                return await commit_group(connection, self._memory, group, care=care)
            except LockWhole as needed:
                if attempt == _TRIES:
                    raise
                care = replace(care, whole=care.whole | needed.instances)
            except Moved:
                if attempt == _TRIES:
                    raise
                self._looks_for = _CAREFUL_FOR
            except psycopg.errors.UniqueViolation:
                if care.repeats or attempt == _TRIES:
                    raise
                care = replace(care, repeats=True)
                self._careful_for = _CAREFUL_FOR
            except Unfit:
                # So are the others of the pool.
                await self._pool.drain()
                if attempt == _TRIES:
                    raise
            except AGAIN:
                self._memory.forget()
                if attempt == _TRIES:
                    raise
                await asyncio.sleep(random.uniform(0, 0.05 * attempt))  # noqa: S311 - jitter
        raise AssertionError("unreachable")
