"""One group commit: everything that waited becomes history, current state and outbox in one transaction.

The order within a group: events first, then what the server itself decides, each judged against the
state that went before. See `sql/commit.sql` for the locks, and docs/decisions/0003 for the figures.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field
from functools import partial
from operator import attrgetter
from typing import Any

import psycopg

from breakers.access import Actor
from breakers.db import Connection
from breakers.ingest.bounds import Name
from breakers.ingest.decide import Decisions
from breakers.ingest.jobs import (
    AnyJob,
    Batch,
    Disconnect,
    Introduce,
    Lose,
    Outcome,
    Report,
    Retire,
    Stored,
)
from breakers.ingest.ledger import Ledger
from breakers.ingest.outrun import Outrun
from breakers.ingest.partitions import Partitions
from breakers.ingest.registry import GoneFromRegistry, Registry
from breakers.ingest.remembered import Remembered, Seen, Spoken
from breakers.ingest.row import Key, Pair, Row
from breakers.ingest.rows import (
    by_table,
    columns_of_events,
    columns_of_snapshots,
    events_as_lines,
    outcomes_of,
    rows_ready,
    settle,
    snapshots_as_lines,
)
from breakers.ingest.statements import Statements

_FEW = 64
"""Rows that are inserted rather than copied, for the sake of two round trips."""

_SOME = 100
"""Rows that are judged in a millisecond."""


@dataclass
class Memory:
    """What a writer remembers between commits; all of it can be forgotten."""

    registry: Registry = field(default_factory=Registry)
    partitions: Partitions = field(default_factory=Partitions)
    states: Remembered = field(default_factory=Remembered)
    spoken: Spoken = field(default_factory=Spoken)

    def forget(self) -> None:
        """Something was not as remembered: look again."""
        self.registry.forget()
        self.partitions.forget()
        self.states.forget()
        self.spoken = Spoken()


@dataclass(frozen=True, kw_only=True)
class Care:
    """What an earlier try has taught.

    Without `repeats`, events go straight into history, and one that is there already fails the whole
    transaction (UniqueViolation); with it, they are looked at first. Without `looks`, breakers are taken to be
    as this process left them, and one that is not fails it too (Moved). All breakers of the instances in `whole`
    are locked, for their boots change places.
    """

    repeats: bool = False
    looks: bool = False
    whole: frozenset[int] = frozenset()


@dataclass
class Effects:
    """What a commit changed, for those who are told afterwards."""

    answers: dict[AnyJob, Any] = field(default_factory=dict)
    changed: set[int] = field(default_factory=set)
    """Breakers whose summary may differ now."""
    judged: bool = False
    """Whether anything waits to be judged now."""
    wished: set[int] = field(default_factory=set)
    """Services in which something is wished anew."""
    spoke: set[int] = field(default_factory=set)
    """Instances whose word was noted."""
    found: dict[int, Seen] = field(default_factory=dict)
    left: dict[int, Seen] = field(default_factory=dict)
    """All breakers as they were locked, and the changed ones as they are now."""


@dataclass
class Locked:
    """The breakers under lock, and what is known of them by that."""

    breakers: dict[int, Seen] = field(default_factory=dict)
    """As they were found."""
    pairs_of: dict[int, list[Pair]] = field(default_factory=dict)
    """All breaker instances of the instances that come, go or are lost in this group."""


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
    ledger = Ledger(db, memory.states)
    try:
        effects = await _commit(db, memory, ledger, jobs, care)
    except Exception:
        with contextlib.suppress(psycopg.Error):
            await connection.rollback()
        raise
    memory.states.note(ledger.known, effects.found, effects.left)
    memory.spoken.note(effects.spoke)
    memory.spoken.forget(job.instance_id for job in jobs if isinstance(job, Retire))
    return effects


async def _learn_names(connection: Connection, registry: Registry, jobs: Iterable[AnyJob]) -> None:
    instances: dict[Name, Actor | None] = {}
    breakers: dict[Name, Actor | None] = {}
    for job in jobs:
        if isinstance(job, Batch):
            if rows_ready(registry, job) is not None:
                continue
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
    effects = Effects(wished=outrun.services, found=locked.breakers)
    accepted, outcomes = await _insert(db, ledger, batches, care)
    effects.answers = dict[AnyJob, Any](outcomes.items())
    # Who retires an instance changes its breakers: then its states had to be read again.
    speaking = {row.pair[1] for row in accepted}
    more = (memory.spoken.silent(speaking) | (speaking & ledger.read_again)) - spoke
    if more:
        db.ask("touch_instances", instances=sorted(more))
    effects.spoke = spoke | more
    decisions = Decisions(db, ledger, registry, pairs_of=locked.pairs_of, breakers=locked.breakers)
    targets = _new_targets(accepted, locked)
    effects.answers |= await decisions.decide_all(
        [job for job in jobs if not isinstance(job, Batch)]
    )
    targets |= decisions.new_targets
    effects.judged = ledger.store()
    looked = [
        db.ask(name, breakers=sorted(breakers))
        for name, breakers in (
            ("look_at_sampled", ledger.sampled),
            ("look_at_overridden", decisions.applied),
        )
        if breakers
    ]
    effects.changed = ledger.changed | targets.keys()
    if effects.changed:
        ids = sorted(effects.changed)
        db.ask("touch_breakers", breakers=ids, targets=[targets.get(id) for id in ids])
    db.ask("commit")
    answers = await db.answers()
    effects.judged |= any(answers[place] for place in looked)
    if effects.changed:
        effects.left = {id: Seen(change, target) for id, change, target in answers[-2]}
    return effects


async def _insert(
    db: Statements, ledger: Ledger, batches: Sequence[tuple[Batch, list[Row]]], care: Care
) -> tuple[list[Row], dict[Batch, list[Outcome]]]:
    """Adds the events to history and judges them; the rows that were new, and the outcomes."""
    rows = [row for _, found in batches for row in found]
    if not rows:
        return [], {job: [] for job, _ in batches}
    if care.repeats:
        accepted, outcomes = outcomes_of(batches, await _insert_new(db, rows))
        await ledger.take(accepted)
        return accepted, outcomes
    if len({row.event.event_id for row in rows}) == len(rows):
        accepted, outcomes = rows, {job: [Stored.ACCEPTED] * len(found) for job, found in batches}
    else:
        accepted, outcomes = outcomes_of(batches, {row.key for row in rows})
    await ledger.rank_boots(accepted)
    events, snapshots = by_table(accepted)
    if len(accepted) <= _FEW:
        if events:
            db.ask("insert_events", **columns_of_events(events))
        if snapshots:
            db.ask("insert_snapshots", **columns_of_snapshots(snapshots))
        ledger.judge(accepted)
    else:
        # Neighbours in an index that come one after the other find its pages at hand: a fifth of the cost of a row.
        events.sort(key=attrgetter("pair"))
        async with db.copying("copy_events", partial(events_as_lines, events), ahead=True) as go_on:
            for start in range(0, len(accepted), _SOME):
                ledger.judge(accepted[start : start + _SOME])
                go_on()
            ledger.write_up()
        if snapshots:
            async with db.copying(
                "copy_snapshots", partial(snapshots_as_lines, snapshots), ahead=True
            ):
                pass
    await ledger.rederive()
    return accepted, outcomes


async def _insert_new(db: Statements, rows: Sequence[Row]) -> set[Key]:
    """Adds what is not in history yet; its keys. Of several rows with one key only the first counts: a
    snapshot and a state change go to two tables, which would take both."""
    new: set[Key] = set()
    events, snapshots = by_table({row.key: row for row in reversed(rows)}.values())
    for table, as_lines, some in (
        ("event", events_as_lines, events),
        ("snapshot", snapshots_as_lines, snapshots),
    ):
        if some:
            await db.execute(f"make_incoming_{table}")
            async with db.copying(f"copy_incoming_{table}", partial(as_lines, some)):
                pass
            new.update(await db.fetch(f"insert_incoming_{table}"))
    return new


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
    whole = set(care.whole)
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
            case Retire() | Disconnect():
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
            (row.pair[1], row.event.boot)
            for _, rows in batches
            for row in rows
            if row.event.boot is not None
        }
        # Who reports what it has applied does so because its breaker has just been moved by hand.
        if not (strangers or whole or reported or care.looks):
            locked.breakers = ledger.expected(breakers)
            ids = sorted(breakers)
            changes = [locked.breakers[id].change for id in ids]
            db.ask("lock_unmoved", breakers=ids, changes=changes)
            if spoke:
                db.ask("touch_instances", instances=sorted(spoke))
            await ledger.load(pairs, whole=whole, under_lock=locked.breakers, boots=boots)
            return locked
        at = db.ask("lock_breakers", breakers=sorted(breakers))
        if spoke:
            db.ask("touch_instances", instances=sorted(spoke))
        ledger.ask(strangers)
        answers = await db.answers()
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
    return {
        row.pair[0]: row.event.target
        for row in rows
        if row.event.target and row.event.target != locked.breakers[row.pair[0]].target
    }
