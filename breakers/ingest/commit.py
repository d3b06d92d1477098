"""One group commit: everything that waited becomes history, current state and outbox in one transaction.

The order within a group: events first, then what the server itself decides (a hello or an applied with
news, a loss), each judged against the state that the events left. See `sql/commit.sql` for the locks.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from psycopg import AsyncCursor
from psycopg.rows import TupleRow, namedtuple_row

from breakers.db import Connection
from breakers.ingest.jobs import (
    AnyJob,
    Batch,
    Disconnect,
    Introduce,
    Introduced,
    Lose,
    Outcome,
    Report,
    Retire,
    Stored,
)
from breakers.ingest.partitions import Partitions
from breakers.ingest.registry import Registry
from breakers.sql import statements
from breakers.states import Change, Held, Origin, State, derive, transition
from breakers.wire import BreakerHello, Happened, Metrics

_SQL = statements("commit")
_STEP = timedelta(microseconds=1)
_encode = msgspec.json.Encoder().encode
Pair = tuple[int, int]
"""A breaker instance by the ids of its breaker and its instance."""


class GoneFromRegistry(Exception):
    """A remembered row no longer exists; forget what is remembered and try again."""


@dataclass(frozen=True, slots=True)
class Row:
    """An event with the ids of its rows; `event_id` and `occurred_at` may be the first one's."""

    service_id: int
    breaker_id: int
    instance_id: int
    event: Happened
    occurred_at: datetime

    @property
    def pair(self) -> Pair:
        return self.breaker_id, self.instance_id

    @property
    def key(self) -> tuple[int, str, datetime]:
        return self.service_id, self.event.event_id, self.occurred_at


@dataclass
class Effects:
    """What a commit changed, for those who are told afterwards."""

    answers: dict[AnyJob, Any] = field(default_factory=dict)
    changed: set[int] = field(default_factory=set)
    """Breakers whose summary may differ now."""
    judged: int = 0
    """Rows that wait in the outbox."""


async def commit_group(
    connection: Connection, registry: Registry, partitions: Partitions, jobs: Sequence[AnyJob]
) -> Effects:
    """Commits all of `jobs` or, on any exception, nothing of them."""
    await _learn_names(connection, registry, jobs)
    await partitions.ensure(
        connection, [event for job in jobs if isinstance(job, Batch) for event in job.events]
    )
    async with connection.transaction():
        return await _Group(connection, registry, jobs).run()


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


class _Group:
    """The work of one transaction."""

    def __init__(self, connection: Connection, registry: Registry, jobs: Sequence[AnyJob]) -> None:
        self.connection = connection
        self.registry = registry
        self.jobs = jobs
        self.effects = Effects()
        self.now = datetime.now(UTC)
        self.held: dict[Pair, Held | None] = {}
        self.before: dict[Pair, Held | None] = {}
        self.boots: dict[tuple[int, str], datetime] = {}
        self.moved: dict[Pair, Held] = {}
        self.targets: dict[int, str] = {}
        self.outbox: list[tuple[Row, bool, Held | None, Held | None]] = []
        self.known_targets: dict[int, str | None] = {}
        self.pairs_of: dict[int, list[Pair]] = {}
        """All breaker instances of the instances that come, go or are lost in this group."""

    async def run(self) -> Effects:
        rows = await self._rows_of_batches()
        await self._lock(rows)
        accepted = await self._insert(rows)
        await self._touch_instances(accepted)
        await self._judge(accepted)
        await self._store_samples(accepted)
        for job in self.jobs:
            await self._decide(job)
        await self._store()
        return self.effects

    # Events

    async def _rows_of_batches(self) -> list[tuple[Batch, list[Row]]]:
        batches = [
            (
                job,
                [
                    Row(*self.registry.ids_of(event), event, event.occurred_at)
                    for event in job.events
                ],
            )
            for job in self.jobs
            if isinstance(job, Batch)
        ]
        untimed = {
            (row.service_id, row.event.event_id): row.occurred_at
            for _, rows in reversed(batches)
            for row in reversed(rows)
            if row.event.named and not row.event.timed
        }
        if not untimed:
            return batches
        keys = sorted(untimed)
        first = {
            (service, event): at
            for service, event, at in await self._fetch(
                "first_times",
                services=[service for service, _ in keys],
                ids=[event for _, event in keys],
                times=[untimed[key] for key in keys],
            )
        }
        return [
            (
                job,
                [
                    replace(row, occurred_at=first[row.service_id, row.event.event_id])
                    if row.event.named and not row.event.timed
                    else row
                    for row in rows
                ],
            )
            for job, rows in batches
        ]

    async def _lock(self, batches: Sequence[tuple[Batch, list[Row]]]) -> None:
        pairs = {row.pair for _, rows in batches for row in rows}
        whole: set[int] = set()
        for job in self.jobs:
            if isinstance(job, Introduce):
                service = self.registry.service_id(job.environment, job.hello.service)
                instance = self.registry.instance_id(service, job.hello.instance)
                whole.add(instance)
                pairs |= {
                    (self.registry.breaker_id(service, item.breaker), instance)
                    for item in job.hello.breakers
                }
            elif isinstance(job, Lose):
                whole |= set(job.instance_ids)
            elif isinstance(job, Retire | Disconnect):
                whole.add(job.instance_id)
            elif isinstance(job, Report):
                pairs.add((job.breaker_id, job.instance_id))
        if whole:
            for breaker, instance in await self._fetch(
                "breakers_of_instances", instances=sorted(whole)
            ):
                self.pairs_of.setdefault(instance, []).append((breaker, instance))
                pairs.add((breaker, instance))
        if not pairs:
            return
        breakers = sorted({breaker for breaker, _ in pairs})
        locked: dict[int, str | None] = dict(await self._fetch("lock_breakers", breakers=breakers))
        if len(locked) < len(breakers):
            raise GoneFromRegistry
        self.known_targets = locked
        await self._load(pairs)

    async def _load(self, pairs: set[Pair]) -> None:
        instances = sorted({instance for _, instance in pairs})
        breakers = sorted({breaker for breaker, _ in pairs})
        self.held = dict.fromkeys(pairs)
        for found in await self._named("load_states", breakers=breakers, instances=instances):
            pair = found.breaker_id, found.instance_id
            if pair in pairs and found.event_id is not None:
                self.held[pair] = Held(_change(found.state, found.at, found), found.since)
        self.boots = {
            (instance, boot): at
            for instance, boot, at in await self._fetch("load_boots", instances=instances)
        }
        self.before = dict(self.held)

    async def _insert(self, batches: Sequence[tuple[Batch, list[Row]]]) -> list[Row]:
        """The rows that were new, in order; repeats are told to their senders."""
        rows = [row for _, found in batches for row in found]
        if not rows:
            for job, _ in batches:
                self.effects.answers[job] = []
            return []
        new: set[tuple[int, str, datetime]] = set()
        for snapshots in (False, True):
            some = [row for row in rows if (row.event.type == "snapshot") is snapshots]
            if some:
                new |= await self._insert_history(some, snapshots=snapshots)
        accepted = []
        for job, found in batches:
            outcomes: list[Outcome] = []
            for row in found:
                if row.key in new:
                    new.discard(row.key)
                    accepted.append(row)
                    outcomes.append(Stored.ACCEPTED)
                else:
                    outcomes.append(Stored.DUPLICATE)
            self.effects.answers[job] = outcomes
        return accepted

    async def _insert_history(
        self, rows: Sequence[Row], *, snapshots: bool
    ) -> set[tuple[int, str, datetime]]:
        events = [row.event for row in rows]
        columns: dict[str, list[Any]] = {
            "service_id": [row.service_id for row in rows],
            "event_id": [event.event_id for event in events],
            "occurred_at": [row.occurred_at for row in rows],
            "breaker_id": [row.breaker_id for row in rows],
            "instance_id": [row.instance_id for row in rows],
            "natural_state": [event.natural_state for event in events],
            "boot": [event.boot for event in events],
            "seq": [event.seq for event in events],
            "detail": [event.detail for event in events],
            "labels": [_json(event.labels) for event in events],
            "metrics": [_json(event.metrics) for event in events],
        }
        if not snapshots:
            columns |= {
                "type": [event.type for event in events],
                "from_state": [event.from_ for event in events],
                "to_state": [event.to for event in events],
                "cause": [event.cause for event in events],
                "reason": [event.reason for event in events],
                "library": [event.library for event in events],
                "origin": [event.origin for event in events],
            }
        found = await self._fetch("insert_snapshots" if snapshots else "insert_events", **columns)
        return {(service, event, at) for service, event, at in found}

    async def _touch_instances(self, rows: Sequence[Row]) -> None:
        instances = sorted({row.instance_id for row in rows})
        if instances:
            await self._execute("touch_instances", instances=instances)

    # State

    async def _judge(self, rows: Sequence[Row]) -> None:
        """Brings the state up to the new rows, and puts each state change into the outbox."""
        changes = [row for row in rows if row.event.type == "state_change"]
        if not changes:
            return
        again = await self._rank_boots(changes)
        late: set[Pair] = set()
        for row in changes:
            before = self.held[row.pair]
            after = None if row.instance_id in again else transition(before, self._change_of(row))
            if after is None:
                late.add(row.pair)
            else:
                self._move(row.pair, after)
            self.outbox.append((row, after is None, before, after or before))
        # A late change may still lengthen or break the run whose beginning is `since`, and a boot
        # that moved in the ranking may put another event at its top.
        late |= {pair for pair in self.held if pair[1] in again}
        for pair in sorted(late):
            after = await self._derive(pair)
            if after is not None and after != self.held[pair]:
                before = self.held[pair]
                self._move(pair, after)
                if before is None or before.state is not after.state:
                    self._mark_moved(pair, before, after)

    def _mark_moved(self, pair: Pair, before: Held | None, after: Held) -> None:
        """The rederived state is a move of the event that is now on top, if it came in this group."""
        for at, (row, late, _, _) in enumerate(self.outbox):
            if row.pair == pair and late and row.event.event_id == after.last.event_id:
                self.outbox[at] = (row, False, before, after)

    async def _rank_boots(self, rows: Sequence[Row]) -> set[int]:
        """Notes the boots' beginnings; gives the instances whose ranking of boots changed."""
        booted = [row for row in rows if row.event.boot is not None]
        if not booted:
            return set()
        lives: dict[int, int] = {}
        for instance, _ in self.boots:
            lives[instance] = lives.get(instance, 0) + 1
        moved = set()
        for instance, boot, first_at, was_known in await self._fetch(
            "rank_boots",
            instances=[row.instance_id for row in booted],
            boots=[row.event.boot for row in booted],
            times=[row.occurred_at for row in booted],
        ):
            self.boots[instance, boot] = first_at
            if was_known and lives.get(instance, 0) > 1:
                moved.add(instance)
        for pair, held in self.held.items():
            if held is not None and held.last.boot is not None:
                boot_at = self.boots.get((pair[1], held.last.boot))
                self.held[pair] = replace(held, last=replace(held.last, boot_at=boot_at))
        return moved

    async def _derive(self, pair: Pair) -> Held | None:
        found = await self._named("history_of", breaker=pair[0], instance=pair[1])
        return derive(_change(row.to_state, row.occurred_at, row) for row in found)

    def _move(self, pair: Pair, after: Held) -> None:
        self.held[pair] = self.moved[pair] = after
        self.effects.changed.add(pair[0])

    def _change_of(self, row: Row) -> Change:
        event = row.event
        assert event.to is not None  # validated: a state change says to what
        return Change(
            to=event.to,
            natural_state=event.natural_state,
            cause=event.cause,
            reason=event.reason,
            detail=event.detail,
            boot=event.boot,
            boot_at=self.boots.get((row.instance_id, event.boot)) if event.boot else None,
            seq=event.seq,
            occurred_at=row.occurred_at,
            origin=event.origin,
            event_id=event.event_id,
        )

    async def _store_samples(self, rows: Sequence[Row]) -> None:
        """Metrics, library, labels and target, of the newest row of each breaker instance that has any."""
        samples: dict[Pair, Row] = {}
        for row in rows:
            event = row.event
            if event.target and event.target != self.known_targets[row.breaker_id]:
                self.targets[row.breaker_id] = event.target
                self.effects.changed.add(row.breaker_id)
            if event.metrics is None and event.library is None and event.labels is None:
                continue
            known = samples.get(row.pair)
            if known is None or row.occurred_at >= known.occurred_at:
                samples[row.pair] = row
        if not samples:
            return
        pairs = sorted(samples)
        events = [samples[pair].event for pair in pairs]
        await self._execute(
            "store_samples",
            breaker_id=[breaker for breaker, _ in pairs],
            instance_id=[instance for _, instance in pairs],
            metrics=[_json(event.metrics) for event in events],
            metrics_at=[
                samples[pair].occurred_at if samples[pair].event.metrics is not None else None
                for pair in pairs
            ],
            library=[event.library for event in events],
            labels=[_json(event.labels) for event in events],
        )
        self.effects.changed |= {
            breaker
            for (breaker, _), event in zip(pairs, events, strict=True)
            if event.metrics is not None
        }

    # What the server itself decides

    async def _decide(self, job: AnyJob) -> None:
        match job:
            case Introduce():
                self.effects.answers[job] = await self._introduce(job)
            case Report():
                await self._report(job)
                self.effects.answers[job] = None
            case Lose():
                self.effects.answers[job] = await self._lose(job)
            case Retire():
                gone = await self._fetch("retire", instance=job.instance_id, session=job.session)
                self.effects.answers[job] = bool(gone)
                if gone:
                    await self._look_again(job.instance_id)
            case Disconnect():
                gone = await self._fetch(
                    "disconnect", instance=job.instance_id, session=job.session
                )
                self.effects.answers[job] = bool(gone)
                if gone:
                    pairs = self.pairs_of.get(job.instance_id, ())
                    self.effects.changed |= {breaker for breaker, _ in pairs}

    async def _introduce(self, job: Introduce) -> Introduced:
        hello = job.hello
        service = self.registry.service_id(job.environment, hello.service)
        instance = self.registry.instance_id(service, hello.instance)
        ids = {
            item.breaker: self.registry.breaker_id(service, item.breaker) for item in hello.breakers
        }
        [(taken_from, boot_before)] = await self._fetch(
            "introduce",
            instance=instance,
            session=job.session,
            boot=hello.boot,
            agent_name=hello.agent.name,
            agent_version=hello.agent.version,
            labels=_json(hello.labels) or "{}",
            connected=job.connected,
        )
        if hello.breakers:
            presented = {ids[item.breaker]: item for item in hello.breakers}
            await self._execute(
                "present_breakers",
                instance=instance,
                breakers=list(presented),
                libraries=[item.library or None for item in presented.values()],
                configs=[_json(item.config) for item in presented.values()],
                applied=[item.applied_revision for item in presented.values()],
                new_boot=boot_before != hello.boot,
            )
            news = [
                row
                for breaker, item in presented.items()
                if (row := self._news_of_hello(service, breaker, instance, hello.boot, item))
            ]
            await self._record(news)
            for breaker, item in presented.items():
                if item.target and item.target != self.known_targets[breaker]:
                    self.targets[breaker] = item.target
        self.effects.changed |= set(ids.values())
        self.effects.changed |= {breaker for breaker, _ in self.pairs_of.get(instance, ())}
        return Introduced(service, instance, ids, taken_from if taken_from != job.session else None)

    def _news_of_hello(
        self, service: int, breaker: int, instance: int, boot: str, item: BreakerHello
    ) -> Row | None:
        """The state change that a presented state stands for, or None where it is known or stale."""
        held = self.held.get((breaker, instance))
        state = State(item.state)
        natural = State(item.natural_state) if item.natural_state else None
        if held and held.state is state and (natural is None or natural is held.natural_state):
            return None
        same_boot = held is not None and held.last.boot == boot
        seq = item.seq if item.seq is not None or not same_boot or held is None else held.last.seq
        at = min(item.since.astimezone(UTC), self.now) if item.since else self.now
        at = max(at, self.now - timedelta(days=7))
        if held is not None and (same_boot or (instance, boot) not in self.boots):
            if same_boot and (seq if seq is not None else -1) < (
                held.last.seq if held.last.seq is not None else -1
            ):
                return None
            # What an agent says of itself now comes after all it said, whatever its clock said then.
            if at <= held.last.occurred_at:
                at = max(self.now, held.last.occurred_at + _STEP)
        return self._server_row(
            service,
            breaker,
            instance,
            to=state,
            natural=natural,
            boot=boot,
            seq=seq,
            at=at,
            reason="hello",
        )

    async def _report(self, job: Report) -> None:
        said = job.applied
        await self._execute(
            "store_applied",
            breaker=job.breaker_id,
            instance=job.instance_id,
            revision=said.revision,
            ok=said.ok,
            error=(said.error or "the agent gave no reason").replace("\0", "")[:2000],
        )
        self.effects.changed.add(job.breaker_id)
        held = self.held.get((job.breaker_id, job.instance_id))
        if not said.ok or said.state is None or held is None:
            return
        state = State(said.state)
        natural = State(said.natural_state) if said.natural_state else None
        if held.state is state and (natural is None or natural is held.natural_state):
            return
        row = self._server_row(
            job.service_id,
            job.breaker_id,
            job.instance_id,
            to=state,
            natural=natural,
            boot=held.last.boot,
            seq=held.last.seq,
            at=max(self.now, held.last.occurred_at + _STEP),
            reason="applied",
            cause="override",
        )
        await self._record([row])

    async def _lose(self, job: Lose) -> list[int]:
        lost = [id for (id,) in await self._fetch("lose", instances=sorted(job.instance_ids))]
        services: dict[int, int] = dict(await self._services_of(lost))
        rows = []
        for instance in lost:
            for breaker, _ in self.pairs_of.get(instance, ()):
                held = self.held.get((breaker, instance))
                if held is None or held.state is State.UNKNOWN:
                    continue
                rows.append(
                    self._server_row(
                        services[instance],
                        breaker,
                        instance,
                        to=State.UNKNOWN,
                        natural=None,
                        boot=held.last.boot,
                        seq=held.last.seq,
                        at=max(self.now, held.last.occurred_at + _STEP),
                        reason="instance_lost",
                    )
                )
        await self._record(rows)
        return lost

    async def _services_of(self, instances: Sequence[int]) -> list[TupleRow]:
        cursor = await self.connection.execute(
            "SELECT id, service_id FROM instance WHERE id = ANY(%s)", [list(instances)]
        )
        return await cursor.fetchall()

    def _server_row(
        self,
        service: int,
        breaker: int,
        instance: int,
        *,
        to: State,
        natural: State | None,
        boot: str | None,
        seq: int | None,
        at: datetime,
        reason: str,
        cause: Any = "unknown",
    ) -> Row:
        held = self.held.get((breaker, instance))
        event = Happened(
            environment="",
            service="",
            instance="",
            breaker="",
            type="state_change",
            event_id=str(uuid.uuid4()),
            named=False,
            timed=True,
            occurred_at=at,
            to=to,
            from_=held.state if held else None,
            natural_state=natural,
            boot=boot,
            seq=seq,
            cause=cause,
            reason=reason,
            origin=Origin.SERVER,
        )
        return Row(service, breaker, instance, event, at)

    async def _record(self, rows: Sequence[Row]) -> None:
        if rows:
            for row in rows:
                self.held.setdefault(row.pair, None)
            await self._insert_history(rows, snapshots=False)
            await self._judge(rows)

    async def _look_again(self, instance: int) -> None:
        """A retired instance changes no state, and yet what it leaves behind is to be judged."""
        for breaker, _ in self.pairs_of.get(instance, ()):
            self.effects.changed.add(breaker)
            held = self.held.get((breaker, instance))
            if held is not None:
                row = self._server_row(
                    0,
                    breaker,
                    instance,
                    to=held.state,
                    natural=held.natural_state,
                    boot=None,
                    seq=None,
                    at=self.now,
                    reason="goodbye",
                )
                self.outbox.append((row, False, held, held))

    # Writing it down

    async def _store(self) -> None:
        if self.moved:
            pairs = sorted(self.moved)
            held = [self.moved[pair] for pair in pairs]
            await self._execute(
                "store_states",
                breaker_id=[breaker for breaker, _ in pairs],
                instance_id=[instance for _, instance in pairs],
                state=[item.state for item in held],
                natural_state=[item.natural_state for item in held],
                since=[item.since for item in held],
                cause=[item.last.cause for item in held],
                reason=[item.last.reason for item in held],
                detail=[item.last.detail for item in held],
                boot=[item.last.boot for item in held],
                seq=[item.last.seq for item in held],
                at=[item.last.occurred_at for item in held],
                origin=[item.last.origin for item in held],
                event_id=[item.last.event_id for item in held],
            )
        if self.outbox:
            await self._store_outbox()
        if self.effects.changed:
            changed = sorted(self.effects.changed)
            await self._execute(
                "touch_breakers",
                breakers=changed,
                targets=[self.targets.get(breaker) for breaker in changed],
            )

    async def _store_outbox(self) -> None:
        rows = [row for row, _, _, _ in self.outbox]
        before = [held for _, _, held, _ in self.outbox]
        after = [held for _, _, _, held in self.outbox]
        await self._execute(
            "insert_outbox",
            breaker_id=[row.breaker_id for row in rows],
            instance_id=[row.instance_id for row in rows],
            event_id=[row.event.event_id for row in rows],
            occurred_at=[row.occurred_at for row in rows],
            to_state=[row.event.to for row in rows],
            late=[late for _, late, _, _ in self.outbox],
            before_state=[held.state if held else State.UNKNOWN for held in before],
            before_natural=[held.natural_state if held else None for held in before],
            state=[held.state if held else State.UNKNOWN for held in after],
            natural_state=[held.natural_state if held else None for held in after],
            since=[held.since if held else None for held in after],
            cause=[row.event.cause for row in rows],
            detail=[row.event.detail for row in rows],
        )
        self.effects.judged = len(rows)

    async def _execute(self, name: str, **parameters: Any) -> AsyncCursor[TupleRow]:
        return await self.connection.execute(_SQL[name], parameters)

    async def _fetch(self, name: str, **parameters: Any) -> list[TupleRow]:
        return await (await self._execute(name, **parameters)).fetchall()

    async def _named(self, name: str, **parameters: Any) -> list[Any]:
        """Rows whose columns are read by name."""
        async with self.connection.cursor(row_factory=namedtuple_row) as cursor:
            await cursor.execute(_SQL[name], parameters)
            return list(await cursor.fetchall())


def _change(to: str, at: datetime, found: Any) -> Change:
    return Change(
        to=State(to),
        natural_state=State(found.natural_state) if found.natural_state else None,
        cause=found.cause,
        reason=found.reason,
        detail=found.detail,
        boot=found.boot,
        boot_at=found.boot_at,
        seq=found.seq,
        occurred_at=at,
        origin=Origin(found.origin),
        event_id=found.event_id,
    )


def _json(value: dict[str, Any] | Metrics | None) -> str | None:
    return None if value is None else _encode(value).decode()
