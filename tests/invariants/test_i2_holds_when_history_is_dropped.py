"""I2 with retention: whatever is dropped, at any point between, current state is what it would have been."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random

import msgspec
import pytest
from hypothesis import HealthCheck, given, note
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from breakers.db import make_pool
from breakers.history.rebuild import rebuild
from breakers.ingest.effects import Effects
from breakers.ingest.jobs import Batch
from breakers.ingest.queue import Writer
from breakers.models import BreakerInstance, Service
from breakers.states import Change, Held, Origin, State
from breakers.wire import Happened
from tests.support.derive import derive

_services = itertools.count(1)
_TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
WEEK = timedelta(weeks=1)
MONDAY = _TODAY - timedelta(days=_TODAY.weekday()) - 30 * WEEK
STATES = [State.CLOSED, State.OPEN, State.HALF_OPEN]
Pair = tuple[str, str]


class Sent(msgspec.Struct, frozen=True):
    """A state change as it is sent."""

    event_id: str
    breaker: str
    instance: str
    to: State
    boot: str | None
    seq: int | None
    occurred_at: datetime

    @property
    def pair(self) -> Pair:
        return self.breaker, self.instance


class Drop(msgspec.Struct, frozen=True):
    """All partitions before `edge` go."""

    edge: datetime


Step = Sequence[Sent] | Drop
"""A sequence is one group."""


@st.composite
def sendings(draw: st.DrawFn) -> list[Sent]:
    """Over three weeks; boots, seqs and times collide freely, and agree with each other or not."""
    size = draw(st.integers(1, 12))
    return [
        Sent(
            event_id=f"e{number}",
            breaker=draw(st.sampled_from(["x", "y"])),
            instance=draw(st.sampled_from(["i1", "i2"])),
            to=draw(st.sampled_from(STATES)),
            boot=draw(st.sampled_from([None, "a", "b"])),
            seq=draw(st.none() | st.integers(0, 3)),
            occurred_at=MONDAY
            + draw(st.integers(0, 2)) * WEEK
            + timedelta(seconds=draw(st.integers(0, 2))),
        )
        for number in range(size)
    ]


@dataclass
class Model:
    """History and checkpoints by their definition."""

    events: dict[str, Sent] = field(default_factory=dict)
    ever: dict[str, Sent] = field(default_factory=dict)
    first: dict[tuple[str, str], datetime] = field(default_factory=dict)
    checkpoints: dict[Pair, Held] = field(default_factory=dict)
    edge: datetime = MONDAY
    reached_back: bool = False
    """Something came for a time whose history was gone already."""
    overtaken: set[Pair] = field(default_factory=set)
    """Something came that ranks below the checkpoint, which cannot say what it would have changed of `since`."""

    def take(self, step: Step) -> None:
        if isinstance(step, Drop):
            self._drop(step.edge)
            return
        for sent in step:
            if sent.boot is not None:
                key = sent.instance, sent.boot
                self.first[key] = min(self.first.get(key, sent.occurred_at), sent.occurred_at)
        for sent in step:
            self.events.setdefault(sent.event_id, sent)
            self.ever[sent.event_id] = sent
            self.reached_back |= sent.occurred_at < self.edge
        for sent in step:
            checkpoint = self._checkpoint(sent.pair)
            if checkpoint is not None and self._change(sent).rank < checkpoint.last.rank:
                self.overtaken.add(sent.pair)

    def _drop(self, edge: datetime) -> None:
        while self.edge < edge:  # a week at a time
            self._drop_week(self.edge + WEEK)
        self._drop_week(edge)

    def _drop_week(self, edge: datetime) -> None:
        gone = [sent for sent in self.events.values() if sent.occurred_at < edge]
        for pair in {sent.pair for sent in gone}:
            before = self._checkpoint(pair)
            ranks = [self._change(sent).rank for sent in gone if sent.pair == pair]
            top = max([*ranks, *([before.last.rank] if before else [])])
            below = [one for one in self._changes(self.events.values(), pair) if one.rank <= top]
            held = derive(below, before)
            assert held is not None
            self.checkpoints[pair] = held
        for sent in gone:
            del self.events[sent.event_id]
        self.edge = max(self.edge, edge)

    def state(self, pair: Pair) -> Held | None:
        return derive(self._changes(self.events.values(), pair), self._checkpoint(pair))

    def state_without_retention(self, pair: Pair) -> Held | None:
        return derive(self._changes(self.ever.values(), pair))

    def _changes(self, some: Iterable[Sent], pair: Pair) -> list[Change]:
        mine = [self._change(sent) for sent in some if sent.pair == pair]
        return sorted(mine, key=lambda change: change.rank, reverse=True)

    def _checkpoint(self, pair: Pair) -> Held | None:
        """As it ranks by all that is known of boots now."""
        held = self.checkpoints.get(pair)
        if held is None or held.last.boot is None:
            return held
        boot_at = self.first[pair[1], held.last.boot]
        last = msgspec.structs.replace(held.last, boot_at=boot_at)
        return msgspec.structs.replace(held, last=last)

    def _change(self, sent: Sent) -> Change:
        return Change(
            to=sent.to,
            natural_state=None,
            cause="unknown",
            reason=None,
            detail=None,
            boot=sent.boot,
            boot_at=self.first[sent.instance, sent.boot] if sent.boot else None,
            seq=sent.seq,
            occurred_at=sent.occurred_at,
            origin=Origin.AGENT,
            event_id=sent.event_id,
        )


def steps_of(sent: list[Sent], random: Random) -> Iterator[Step]:
    """Groups of any size, and between them, now and then, history's edge moves on."""
    week = 0
    while sent:
        size = random.randint(1, len(sent))
        yield sent[:size]
        sent = sent[size:]
        if random.random() < 0.5:
            week = random.randint(week, 3)
            yield Drop(MONDAY + week * WEEK)
    if random.random() < 0.5:
        yield Drop(MONDAY + 3 * WEEK)


async def perform(service: str, steps: Iterable[Step]) -> None:
    """By one writer, which remembers what it has written."""

    async def committed(effects: Effects) -> None:
        pass

    async with make_pool(size=2) as pool:
        writer = Writer(pool, committed=committed)
        writer.start()
        for step in steps:
            if isinstance(step, Drop):
                async with pool.connection() as connection:
                    while True:
                        dropped = await connection.execute(
                            "SELECT drop_oldest_partition('event', %s)", [step.edge]
                        )
                        if await dropped.fetchone() == (None,):
                            break
            else:
                await writer.commit(Batch(events=[happened(service, sent) for sent in step]))
        await writer.stop()


def happened(service: str, sent: Sent) -> Happened:
    return Happened(
        environment="i2",
        service=service,
        type="state_change",
        named=True,
        timed=True,
        **msgspec.structs.asdict(sent),
    )


def test_disorder_within_one_group_is_noted_however_the_group_is_sorted(
    transactional_db: None,
) -> None:
    """The lowest rank is the latest by time, and its neighbours in time came with it."""
    service = f"dropped{next(_services)}"
    last, first, second = (
        Sent(f"e{number}", "x", "i1", State.CLOSED, boot, None, MONDAY + after)
        for number, boot, after in (
            (0, None, WEEK),
            (1, "a", 0 * WEEK),
            (2, "a", timedelta(seconds=1)),
        )
    )

    asyncio.run(perform(service, [[last, first, second], Drop(MONDAY + WEEK)]))

    assert list(rebuild(write=False)) == []


@pytest.mark.django_db(transaction=True)
@hypothesis_settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(sent=sendings(), random=st.randoms(use_true_random=False))
def test_dropping_history_changes_no_state(sent: list[Sent], random: Random) -> None:
    service = f"dropped{next(_services)}"
    sent = sent + random.sample(sent, random.randint(0, len(sent)))
    if random.random() < 0.5:  # as it mostly comes: by time
        sent.sort(key=lambda one: one.occurred_at)
    else:
        random.shuffle(sent)
    steps = list(steps_of(sent, random))
    model = Model()
    note(str(steps))

    asyncio.run(perform(service, steps))

    for step in steps:
        model.take(step)
    row = Service.objects.get(name=service)
    assert list(rebuild(write=False, services=[row.pk])) == []
    for held in BreakerInstance.objects.filter(breaker__service=row).select_related(
        "instance", "breaker"
    ):
        pair = held.breaker.name, held.instance.name
        found = (held.state, held.since, held.not_closed_since, held.event_id)
        assert found == told(model.state(pair))
        if not model.reached_back:
            without = told(model.state_without_retention(pair))
            assert found == without or (pair in model.overtaken and found[::3] == without[::3])


def told(held: Held | None) -> tuple[State, datetime, datetime | None, str]:
    assert held is not None
    return held.state, held.since, held.not_closed_since, held.last.event_id
