"""One group commit: everything that waited becomes history, current state and outbox in one transaction.

The order within a group: events first, then what the server itself decides, each judged against the
state that went before. See `sql/commit.sql` for the locks, and docs/decisions/0003 for the figures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from breakers.access import Actor
from breakers.db import Connection
from breakers.ingest.bounds import Name
from breakers.ingest.decide import Decisions
from breakers.ingest.effects import Effects, Ending
from breakers.ingest.insert import insert, insert_new
from breakers.ingest.jobs import (
    AnyJob,
    Batch,
    Disconnect,
    Introduce,
    Lose,
    Outcome,
    Report,
    Retire,
    Settle,
    Stored,
)
from breakers.ingest.ledger import Ledger, LockWhole
from breakers.ingest.memory import Memory
from breakers.ingest.outrun import Outrun
from breakers.ingest.registry import GoneFromRegistry, Registry
from breakers.ingest.remembered import Seen
from breakers.ingest.row import Pair, Row
from breakers.ingest.rows import outcomes_of, settle
from breakers.ingest.statements import Statements

_SOME = 100
"""Rows that are judged in a millisecond."""


@dataclass(frozen=True, kw_only=True)
class Care:
    """What an earlier try has taught.

    Without `repeats`, events go straight into history, and one that is there already fails the whole
    transaction (UniqueViolation); with it, they are looked at first. All breakers of the instances in `whole`
    are locked, for their boots change places.
    """

    repeats: bool = False
    whole: frozenset[int] = frozenset()


@dataclass
class Locked:
    """The breakers under lock, and what is known of them by that."""

    breakers: dict[int, Seen] = field(default_factory=dict)
    """As they were found."""
    pairs_of: dict[int, list[Pair]] = field(default_factory=dict)
    """All breaker instances of the instances that come, go or are lost in this group."""
    back: set[int] = field(default_factory=set)
    """Instances that speak again, having been lost or retired."""
    whole: Set[int] = frozenset()
    """Instances of which all breakers are locked."""

    def take_back(self, instances: Iterable[int]) -> None:
        """Raises LockWhole where one of them has breakers that are not locked: all of those are theirs again."""
        self.back |= set(instances)
        if self.back - self.whole:
            raise LockWhole(self.back - self.whole)


async def commit_group(
    connection: Connection,
    memory: Memory,
    jobs: Sequence[AnyJob],
    *,
    care: Care = Care(),
) -> Effects:
    """Commits all of `jobs` or, on any exception, nothing of them. Raises BeyondBound before it begins."""
    await _learn_names(connection, memory.registry, jobs)
    await memory.partitions.ensure(
        connection, [event for job in jobs if isinstance(job, Batch) for event in job.events]
    )
    db = Statements(connection)
    async with db.all_or_nothing():
        effects = await _commit(db, memory, Ledger(db, memory.states), jobs, care)
    memory.spoken.forget(job.instance_id for job in jobs if isinstance(job, Retire))
    return effects


async def _learn_names(connection: Connection, registry: Registry, jobs: Iterable[AnyJob]) -> None:
    instances: dict[Name, Actor | None] = {}
    breakers: dict[Name, Actor | None] = {}
    for job in jobs:
        if isinstance(job, Batch):
            for event in job.events:
                if registry.known_ids(event) is None:
                    instances[event.environment, event.service, event.instance] = job.by
                    breakers[event.environment, event.service, event.breaker] = job.by
        elif isinstance(job, Introduce):
            hello = job.hello
            instances[job.environment, hello.service, hello.instance] = job.by
            for item in hello.breakers:
                breakers[job.environment, hello.service, item.breaker] = job.by
    if instances:
        await registry.learn(connection, instances=instances, breakers=breakers)


async def _commit(
    db: Statements, memory: Memory, ledger: Ledger, jobs: Sequence[AnyJob], care: Care
) -> Effects:
    registry = memory.registry
    db.ask("begin")
    batches = await settle(db, registry, [job for job in jobs if isinstance(job, Batch)])
    outrun = Outrun(db)
    await outrun.look(registry, jobs)
    # In care it is seen later who has said something new.
    heard = set() if care.repeats else {row.pair[1] for _, rows in batches for row in rows}
    spoke = memory.spoken.silent(heard)
    locked = await _lock(db, ledger, registry, jobs, batches, care, spoke)
    await outrun.catch_up()
    accepted, outcomes = await _insert(db, ledger, batches, care)
    # Who retires an instance changes its breakers: then its states had to be read again.
    speaking = {row.pair[1] for row in accepted}
    more = (memory.spoken.silent(speaking) | (speaking & ledger.read_again)) - spoke
    if more:
        [(back, *_)] = await db.fetch("touch_instances", instances=sorted(more), may_be_back=True)
        locked.take_back(back)
    decisions = Decisions(db, ledger, registry, pairs_of=locked.pairs_of, breakers=locked.breakers)
    decisions.back |= locked.back
    targets = _new_targets(accepted, locked)
    decided = await decisions.decide_all([job for job in jobs if not isinstance(job, Batch)])
    targets |= decisions.new_targets
    ending = Ending.ask(db, ledger, targets=targets, applied=decisions.applied, left=decisions.left)
    effects = await ending.effects()
    effects.answers = dict[AnyJob, Any](outcomes.items()) | decided
    effects.wished = outrun.services
    memory.states.note(ledger.known, locked.breakers, effects.left)
    memory.spoken.note(spoke | more)
    return effects


async def _insert(
    db: Statements, ledger: Ledger, batches: Sequence[tuple[Batch, list[Row]]], care: Care
) -> tuple[list[Row], dict[Batch, list[Outcome]]]:
    """Adds the events to history and judges them; the rows that were new, and the outcomes."""
    rows = [row for _, found in batches for row in found]
    if not rows:
        return [], {job: [] for job, _ in batches}
    if care.repeats:
        accepted, outcomes = outcomes_of(batches, await insert_new(db, rows))
        await ledger.take(accepted)
        return accepted, outcomes
    if len({row.event.event_id for row in rows}) == len(rows):
        accepted, outcomes = rows, {job: [Stored.ACCEPTED] * len(found) for job, found in batches}
    else:
        accepted, outcomes = outcomes_of(batches, {row.key for row in rows})
    await ledger.rank_boots(accepted)
    await insert(db, accepted, meanwhile=partial(_judge, ledger, accepted))
    await ledger.rederive()
    return accepted, outcomes


def _judge(ledger: Ledger, rows: Sequence[Row], go_on: Callable[[], object]) -> None:
    for start in range(0, len(rows), _SOME):
        ledger.judge(rows[start : start + _SOME])
        go_on()


async def _lock(
    db: Statements,
    ledger: Ledger,
    registry: Registry,
    jobs: Iterable[AnyJob],
    batches: Iterable[tuple[Batch, list[Row]]],
    care: Care,
    spoke: Set[int],
) -> Locked:
    """Locks all breakers that may change, in id order, notes the instances that speak, and reads the states."""
    locked = Locked()
    pairs = {row.pair for _, rows in batches for row in rows}
    reported: set[Pair] = set()
    locked.whole = whole = set(care.whole)
    for job in jobs:
        match job:
            case Batch():
                pass
            case Introduce():
                service = registry.service_id(job.environment, job.hello.service)
                instance = registry.instance_id(service, job.hello.instance)
                whole.add(instance)
                pairs |= {
                    (registry.breaker_id(service, item.breaker), instance)
                    for item in job.hello.breakers
                }
            case Lose():
                whole |= set(job.instance_ids)
            case Retire() | Disconnect() | Settle():
                whole.add(job.instance_id)
            case Report():
                reported.add((job.breaker_id, job.instance_id))
    if whole:
        for breaker, instance in await db.fetch("breakers_of_instances", instances=sorted(whole)):
            locked.pairs_of.setdefault(instance, []).append((breaker, instance))
            pairs.add((breaker, instance))
    needed = {breaker for breaker, _ in pairs}
    pairs |= reported
    if pairs:
        breakers = {breaker for breaker, _ in pairs}
        strangers = ledger.strangers(pairs)
        boots = {
            (row.pair, row.event.boot)
            for _, rows in batches
            for row in rows
            if row.event.boot is not None
        }
        at = db.ask("lock_breakers", breakers=sorted(breakers))
        touched = None
        if care.repeats:
            # Who has a new boot is locked before it is known who has said something new, and all in one order.
            speaking = {row.pair[1] for _, rows in batches for row in rows}
            db.ask("lock_instances", instances=sorted(speaking))
        if spoke:
            touched = db.ask("touch_instances", instances=sorted(spoke), may_be_back=True)
        ledger.ask(strangers)
        answers = await db.answers()
        if touched is not None:
            locked.take_back(answers[touched][0][0])
        locked.breakers = {id: Seen(change, target) for id, change, target in answers[at]}
        if not needed <= locked.breakers.keys():
            raise GoneFromRegistry
        # What is reported of a breaker that was removed meanwhile is nobody's; its agent is told to come anew.
        pairs = {pair for pair in pairs if pair[0] in locked.breakers}
        await ledger.load(
            pairs,
            whole=whole,
            under_lock=locked.breakers,
            boots=boots,
            strangers=strangers,
            answers=answers,
        )
    return locked


def _new_targets(rows: Iterable[Row], locked: Locked) -> dict[int, str]:
    """The targets that events name and the breakers do not have; the last one said wins."""
    said = {row.pair[0]: row.event.target for row in rows if row.event.target}
    return {id: said[id] for id in said if said[id] != locked.breakers[id].target}
