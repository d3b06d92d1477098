"""The states of the breaker instances that a transaction touches: read under lock, moved, written back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from breakers.ingest.pgtext import NULL, array, time
from breakers.ingest.remembered import Known, Remembered
from breakers.ingest.rows import Pair, Row, as_json
from breakers.ingest.statements import Statements
from breakers.states import Change, Held, Origin, State, derive, transition
from breakers.wire import Labels, Metrics


class RankMoved(Exception):
    """Boots of these instances changed places, and with them maybe the state of each of their breakers:
    begin again with all of those locked."""

    def __init__(self, instances: Set[int]) -> None:
        super().__init__(f"boots of {len(instances)} instances changed places")
        self.instances = instances


class Judged(NamedTuple):
    """What a state change did; a late one moved nothing. `again` is judged although nothing moved."""

    row: Row
    late: bool
    before: Held | None
    after: Held | None
    again: bool = False

    @property
    def is_news(self) -> bool:
        """Whether any rule could say something else than before."""
        if self.late or self.again or self.before is None or self.after is None:
            return True
        before, after = self.before.last, self.after.last
        return before.to is not after.to or before.natural_state is not after.natural_state


class Sample(msgspec.Struct, gc=False):
    """What events say beside the state: of each the newest; None leaves what is known."""

    metrics: Metrics | None = None
    metrics_at: datetime | None = None
    library: str | None = None
    labels: Labels | None = None


class Writing(NamedTuple):
    """Parameters of the states, if there are any, and lines of the outbox."""

    states: dict[str, str] | None
    news: list[str]


class Ledger:
    """`held` is the state of each pair as far as the transaction has got; None: nothing known yet."""

    def __init__(self, db: Statements, remembered: Remembered) -> None:
        self._db = db
        self._remembered = remembered
        self.held: dict[Pair, Held | None] = {}
        self.boots: dict[tuple[int, str], datetime] = {}
        self.changed: set[int] = set()
        """Breakers whose summary may differ now."""
        self.read_again: set[int] = set()
        """Instances that were not as remembered."""
        self._whole: Set[int] = set()
        self._reranked: set[int] = set()
        self._metrics_at: dict[Pair, datetime | None] = {}
        self._moved: set[Pair] = set()
        self._samples: dict[Pair, Sample] = {}
        self._late: set[Pair] = set()
        self._judged: list[Judged] = []
        self._written_up: Writing | None = None

    async def load(
        self,
        pairs: Set[Pair],
        *,
        whole: Set[int],
        changes: Mapping[int, int],
        boots: Set[tuple[int, str]],
    ) -> None:
        """The states of `pairs`, whose breakers are locked and have these change numbers; of the instances
        in `whole` these are all there are. `boots` are those that events name."""
        self._whole = whole
        known = self._remembered.known(pairs, changes)
        missing = pairs - known.keys()
        if missing:
            known |= await self._load_states(missing)
            self.read_again = {instance for _, instance in missing}
        self.held = {pair: known[pair].held for pair in pairs}
        self._metrics_at = {pair: known[pair].metrics_at for pair in pairs}
        self.boots = {
            (pair[1], held.last.boot): held.last.boot_at
            for pair, held in self.held.items()
            if held is not None and held.last.boot is not None and held.last.boot_at is not None
        }
        # Where another boot speaks than the last, its rank decides, and it may have changed meanwhile.
        strange = {instance for instance, _ in boots - self.boots.keys()} | whole
        if strange:
            await self._load_boots(strange)

    async def _load_states(self, pairs: Set[Pair]) -> dict[Pair, Known]:
        known = dict.fromkeys(pairs, Known(None, None))
        for found in await self._db.named(
            "load_states",
            breakers=sorted({breaker for breaker, _ in pairs}),
            instances=sorted({instance for _, instance in pairs}),
        ):
            pair = found.breaker_id, found.instance_id
            if pair in known:
                held = None
                if found.event_id is not None:
                    last = _change(found.state, found.at, found)
                    held = Held(last, found.since, found.not_closed_since)
                known[pair] = Known(held, found.metrics_at)
        return known

    async def _load_boots(self, instances: Set[int]) -> None:
        for instance, boot, at in await self._db.fetch("load_boots", instances=sorted(instances)):
            self.boots[instance, boot] = at
        self._rank_anew(instances)

    def _rank_anew(self, instances: Set[int]) -> None:
        """The held states with the beginnings of their boots as they are known now."""
        for pair, held in self.held.items():
            if pair[1] in instances and held is not None and held.last.boot is not None:
                boot_at = self.boots.get((pair[1], held.last.boot))
                last = msgspec.structs.replace(held.last, boot_at=boot_at)
                self.held[pair] = msgspec.structs.replace(held, last=last)

    @property
    def known(self) -> dict[Pair, Known]:
        """All that the transaction leaves behind."""
        return {pair: Known(held, self._metrics_at[pair]) for pair, held in self.held.items()}

    async def take(self, rows: Sequence[Row]) -> None:
        """Brings the states up to rows that are in history by now."""
        await self.rank_boots(rows)
        self.judge(rows)
        await self.rederive()

    async def rank_boots(self, rows: Iterable[Row]) -> None:
        """Notes the boots' beginnings. Raises RankMoved where that changes the rank of boots of an
        instance that is not locked whole."""
        earlier: dict[tuple[int, str], datetime] = {}
        for row in rows:
            boot = row.event.boot
            if boot is None or row.event.type != "state_change":
                continue
            key = row.instance_id, boot
            known = earlier.get(key) or self.boots.get(key)
            if known is None or row.occurred_at < known:
                earlier[key] = row.occurred_at
        if not earlier:
            return
        again = set()
        for instance, boot, first_at, was_known in await self._db.fetch(
            "rank_boots",
            instances=[instance for instance, _ in earlier],
            boots=[boot for _, boot in earlier],
            times=list(earlier.values()),
        ):
            self.boots[instance, boot] = first_at
            if was_known:
                again.add(instance)
        if again:
            lives: dict[int, int] = dict(
                await self._db.fetch("count_boots", instances=sorted(again))
            )
            moved = {instance for instance in again if lives[instance] > 1}
            if moved - self._whole:
                raise RankMoved(moved - self._whole)
            self._reranked |= moved
        self._rank_anew({instance for instance, _ in earlier})

    def judge(self, rows: Iterable[Row]) -> None:
        """What each state change makes of the state; needs no database. `rederive` comes afterwards."""
        self._written_up = None
        for row in rows:
            event, pair = row.event, row.pair
            if event.metrics is not None or event.library is not None or event.labels is not None:
                self._note_sample(row)
            if event.type != "state_change":
                continue
            before = self.held[pair]
            after = None
            if row.instance_id not in self._reranked:
                after = transition(before, self._change_of(row))
            if after is None:
                self._late.add(pair)
                self._judged.append(Judged(row, True, before, before))
            else:
                self._move(pair, after)
                self._judged.append(Judged(row, False, before, after))

    async def rederive(self) -> None:
        """A late change may still lengthen or break the run whose beginning is `since`, and a boot that
        moved in the ranking may put another event at its top."""
        late = self._late | {pair for pair in self.held if pair[1] in self._reranked}
        self._late, self._reranked = set(), set()
        for pair in sorted(late):
            after = await self._derive(pair)
            if after is not None and after != self.held[pair]:
                before = self.held[pair]
                self._move(pair, after)
                if before is None or before.state is not after.state:
                    self._mark_moved(pair, before, after)

    def _mark_moved(self, pair: Pair, before: Held | None, after: Held) -> None:
        """The rederived state is a move of the event that is now on top, if it came in this group."""
        for at, (row, late, *_) in enumerate(self._judged):
            if row.pair == pair and late and row.event.event_id == after.last.event_id:
                self._judged[at] = Judged(row, False, before, after)
                self._written_up = None

    async def _derive(self, pair: Pair) -> Held | None:
        found = await self._db.named("history_of", breaker=pair[0], instance=pair[1])
        return derive(_change(row.to_state, row.occurred_at, row) for row in found)

    def _move(self, pair: Pair, after: Held) -> None:
        self._written_up = None
        self.held[pair] = after
        self._moved.add(pair)
        self.changed.add(pair[0])

    def _note_sample(self, row: Row) -> None:
        event, pair = row.event, row.pair
        sample = self._samples.get(pair)
        if sample is None:
            sample = self._samples[pair] = Sample(metrics_at=self._metrics_at.get(pair))
        if event.metrics is not None and (
            sample.metrics_at is None or row.occurred_at >= sample.metrics_at
        ):
            sample.metrics, sample.metrics_at = event.metrics, row.occurred_at
            self._metrics_at[pair] = row.occurred_at
            self.changed.add(pair[0])
        sample.library = event.library or sample.library
        sample.labels = event.labels or sample.labels

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
            boot_at=self.boots.get((row.pair[1], event.boot)) if event.boot else None,
            seq=event.seq,
            occurred_at=row.occurred_at,
            origin=event.origin,
            event_id=event.event_id,
        )

    def look_again(self, row: Row) -> None:
        """Has a row judged that changed no state, so that what is left is looked at."""
        self._written_up = None
        held = self.held[row.pair]
        self._judged.append(Judged(row, False, held, held, again=True))

    def write_up(self) -> None:
        """Puts what is to be stored into the forms in which it goes to PostgreSQL; `store` does it itself
        where more has happened since."""
        pairs = sorted(self._moved | self._samples.keys())
        held = [self.held[pair] for pair in pairs]
        last = [item and item.last for item in held]
        samples = [self._samples.get(pair) or _NOTHING for pair in pairs]
        columns: dict[str, list[Any]] = {
            "breaker_id": [breaker for breaker, _ in pairs],
            "instance_id": [instance for _, instance in pairs],
            "state": [item.to if item else State.UNKNOWN for item in last],
            "natural_state": [item and item.natural_state for item in last],
            "since": [item and item.since for item in held],
            "not_closed_since": [item and item.not_closed_since for item in held],
            "cause": [item and item.cause for item in last],
            "reason": [item and item.reason for item in last],
            "detail": [item and item.detail for item in last],
            "boot": [item and item.boot for item in last],
            "seq": [item and item.seq for item in last],
            "at": [item and item.occurred_at for item in last],
            "origin": [item and item.origin for item in last],
            "event_id": [item and item.event_id for item in last],
            "metrics": [as_json(item.metrics) for item in samples],
            "metrics_at": [item.metrics_at for item in samples],
            "library": [item.library for item in samples],
            "labels": [as_json(item.labels) for item in samples],
        }
        states = {name: array(values) for name, values in columns.items()} if pairs else None
        news = [_outbox_line(item) for item in self._judged if item.is_news]
        self._written_up = Writing(states, news)

    async def store(self) -> int:
        """Writes states, samples and what is to be judged; the number of rows in the outbox."""
        if self._written_up is None:
            self.write_up()
        assert self._written_up is not None
        states, news = self._written_up
        if states:
            await self._db.execute("store_states", **states)
        if news:
            async with self._db.copying("copy_outbox", news):
                pass
        return len(news)


_NOTHING = Sample()


def _outbox_line(judged: Judged) -> str:
    row, late, before, after, _ = judged
    event = row.event
    return (
        f"{row.pair[0]}\t{row.pair[1]}\t{time(row.occurred_at)}\t{event.to}\t{late}\t"
        f"{before.last.to if before else State.UNKNOWN}\t{(before and before.last.natural_state) or NULL}\t"
        f"{after.last.to if after else State.UNKNOWN}\t{(after and after.last.natural_state) or NULL}\t"
        f"{time(after.since) if after else NULL}\n"
    )


def _change(to: str, at: datetime, found: Any) -> Change:
    return Change(
        to=_STATES[to],
        natural_state=_STATES[found.natural_state] if found.natural_state else None,
        cause=found.cause,
        reason=found.reason,
        detail=found.detail,
        boot=found.boot,
        boot_at=found.boot_at,
        seq=found.seq,
        occurred_at=at,
        origin=Origin.SERVER if found.origin == Origin.SERVER else Origin.AGENT,
        event_id=found.event_id,
    )


_STATES = {state.value: state for state in State}
