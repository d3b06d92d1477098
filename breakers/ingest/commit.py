"""One group commit: everything that waited becomes history, current state and outbox in one transaction.

The order within a group: events first, then what the server itself decides, each judged against the
state that went before. See `sql/commit.sql` for the locks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from breakers.db import Connection
from breakers.ingest.decide import Decisions
from breakers.ingest.jobs import AnyJob, Batch, Disconnect, Introduce, Lose, Report, Retire
from breakers.ingest.ledger import Ledger
from breakers.ingest.outrun import Outrun
from breakers.ingest.partitions import Partitions
from breakers.ingest.registry import Registry
from breakers.ingest.rows import Pair, Row, as_json, insert_batches, settle
from breakers.ingest.statements import Statements


class GoneFromRegistry(Exception):
    """A remembered row no longer exists; forget what is remembered and try again."""


@dataclass
class Effects:
    """What a commit changed, for those who are told afterwards."""

    answers: dict[AnyJob, Any] = field(default_factory=dict)
    changed: set[int] = field(default_factory=set)
    """Breakers whose summary may differ now."""
    judged: int = 0
    """Rows that wait in the outbox."""
    wished: set[int] = field(default_factory=set)
    """Services in which something is wished anew."""


@dataclass
class Locked:
    """The breakers under lock, and what is known of them by that."""

    targets: dict[int, str | None] = field(default_factory=dict)
    pairs_of: dict[int, list[Pair]] = field(default_factory=dict)
    """All breaker instances of the instances that come, go or are lost in this group."""


async def commit_group(
    connection: Connection, registry: Registry, partitions: Partitions, jobs: Sequence[AnyJob]
) -> Effects:
    """Commits all of `jobs` or, on any exception, nothing of them."""
    await _learn_names(connection, registry, jobs)
    await partitions.ensure(
        connection, [event for job in jobs if isinstance(job, Batch) for event in job.events]
    )
    async with connection.transaction():
        return await _commit(Statements(connection), registry, jobs)


async def _learn_names(connection: Connection, registry: Registry, jobs: Iterable[AnyJob]) -> None:
    instances: set[tuple[str, str, str]] = set()
    breakers: set[tuple[str, str, str]] = set()
    for job in jobs:
        if isinstance(job, Batch):
            for event in job.events:
                instances.add((event.environment, event.service, event.instance))
                breakers.add((event.environment, event.service, event.breaker))
        elif isinstance(job, Introduce):
            hello = job.hello
            instances.add((job.environment, hello.service, hello.instance))
            breakers.update(
                (job.environment, hello.service, item.breaker) for item in hello.breakers
            )
    if instances:
        await registry.learn(connection, services=(), instances=instances, breakers=breakers)


async def _commit(db: Statements, registry: Registry, jobs: Sequence[AnyJob]) -> Effects:
    batches = await settle(db, registry, [job for job in jobs if isinstance(job, Batch)])
    ledger = Ledger(db)
    outrun = Outrun(db)
    await outrun.look(registry, jobs)
    locked = await _lock(db, ledger, registry, jobs, batches)
    await outrun.catch_up()
    effects = Effects(wished=outrun.services)
    accepted, outcomes = await insert_batches(db, batches)
    effects.answers = dict[AnyJob, Any](outcomes.items())
    if accepted:
        await db.execute("touch_instances", instances=sorted({row.instance_id for row in accepted}))
        await ledger.judge(accepted)
        await _store_samples(db, ledger, accepted)
    decisions = Decisions(db, ledger, registry, pairs_of=locked.pairs_of, targets=locked.targets)
    targets = _new_targets(accepted, locked)
    for job in jobs:
        if not isinstance(job, Batch):
            effects.answers[job] = await decisions.decide(job)
    targets |= decisions.new_targets
    await ledger.store()
    changed = ledger.changed | targets.keys()
    if changed:
        ids = sorted(changed)
        await db.execute("touch_breakers", breakers=ids, targets=[targets.get(id) for id in ids])
    effects.changed = changed
    effects.judged = ledger.judged
    return effects


async def _lock(
    db: Statements,
    ledger: Ledger,
    registry: Registry,
    jobs: Iterable[AnyJob],
    batches: Iterable[tuple[Batch, list[Row]]],
) -> Locked:
    """Locks all breakers that may change, in id order, and reads the states of their instances."""
    locked = Locked()
    pairs = {row.pair for _, rows in batches for row in rows}
    whole: set[int] = set()
    for job in jobs:
        match job:
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
                pairs.add((job.breaker_id, job.instance_id))
    whole |= await _boots_that_move(db, batches)
    if whole:
        for breaker, instance in await db.fetch("breakers_of_instances", instances=sorted(whole)):
            locked.pairs_of.setdefault(instance, []).append((breaker, instance))
            pairs.add((breaker, instance))
    if pairs:
        breakers = sorted({breaker for breaker, _ in pairs})
        locked.targets = dict(await db.fetch("lock_breakers", breakers=breakers))
        if len(locked.targets) < len(breakers):
            raise GoneFromRegistry
        await ledger.load(pairs, whole=whole)
    return locked


async def _boots_that_move(db: Statements, batches: Iterable[tuple[Batch, list[Row]]]) -> set[int]:
    """Instances of several boots, one of which turns out to have begun earlier than was known: their
    ranking may change, and with it the state of each of their breakers."""
    earliest: dict[tuple[int, str], datetime] = {}
    for _, rows in batches:
        for row in rows:
            if row.event.boot is not None and row.event.type == "state_change":
                key = row.instance_id, row.event.boot
                earliest[key] = min(earliest.get(key, row.occurred_at), row.occurred_at)
    if not earliest:
        return set()
    instances = sorted({instance for instance, _ in earliest})
    known = {
        (instance, boot): at
        for instance, boot, at in await db.fetch("load_boots", instances=instances)
    }
    lives = Counter(instance for instance, _ in known)
    return {
        key[0]
        for key, at in earliest.items()
        if key in known and at < known[key] and lives[key[0]] > 1
    }


def _new_targets(rows: Iterable[Row], locked: Locked) -> dict[int, str]:
    """The targets that events name and the breakers do not have; the last one said wins."""
    return {
        row.breaker_id: row.event.target
        for row in rows
        if row.event.target and row.event.target != locked.targets[row.breaker_id]
    }


async def _store_samples(db: Statements, ledger: Ledger, rows: Iterable[Row]) -> None:
    """Metrics, library and labels, of the newest row of each breaker instance that has any."""
    samples: dict[Pair, Row] = {}
    for row in rows:
        event = row.event
        if event.metrics is None and event.library is None and event.labels is None:
            continue
        known = samples.get(row.pair)
        if known is None or row.occurred_at >= known.occurred_at:
            samples[row.pair] = row
    if not samples:
        return
    newest = [samples[pair] for pair in sorted(samples)]
    await db.execute(
        "store_samples",
        breaker_id=[row.breaker_id for row in newest],
        instance_id=[row.instance_id for row in newest],
        metrics=[as_json(row.event.metrics) for row in newest],
        metrics_at=[row.occurred_at if row.event.metrics else None for row in newest],
        library=[row.event.library for row in newest],
        labels=[as_json(row.event.labels) for row in newest],
    )
    ledger.changed |= {row.breaker_id for row in newest if row.event.metrics is not None}
