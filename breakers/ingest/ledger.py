"""The states of the breaker instances that a transaction touches: read under lock, moved, written back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from breakers.ingest.columns import (
    NOTHING,
    Judged,
    Sample,
    change_of,
    columns_of_outbox,
    columns_of_states,
    known_of,
)
from breakers.ingest.remembered import Known, Remembered, Seen
from breakers.ingest.row import Pair, Row
from breakers.ingest.statements import Statements
from breakers.states import Change, Held, State, transition


class RankMoved(Exception):
    """Boots of these instances changed places, and with them maybe the state of each of their breakers:
    begin again with all of those locked."""

    def __init__(self, instances: Set[int]) -> None:
        super().__init__(f"boots of {len(instances)} instances changed places")
        self.instances = instances


class Writing(NamedTuple):
    """Parameters of the states and of the outbox, where there are any."""

    states: dict[str, str] | None
    news: dict[str, str] | None


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
        self._dues: dict[tuple[Pair, str], datetime] = {}
        """When a probe is due, by the id of the state change that this is said of."""
        self._late: set[Pair] = set()
        self._unsure: dict[Pair, list[datetime]] = {}
        """Of which the order of ranks may not be that of times any more, and around when."""
        self._judged: list[Judged] = []
        self._written_up: Writing | None = None

    def strangers(self, pairs: Set[Pair]) -> Set[Pair]:
        """Those whose states are to be read: nothing is remembered of them."""
        return self._remembered.strangers(pairs)

    def expected(self, breakers: Set[int]) -> dict[int, Seen]:
        """Breakers as this process left them: none of their pairs here is a stranger."""
        return self._remembered.seen(breakers)

    def ask(self, strangers: Set[Pair]) -> None:
        """Asks for their states, and for their instances' boots, right after the breakers' locks and on the
        same way."""
        if strangers:
            self._ask_states(strangers)
            self._db.ask("load_boots", instances=sorted({instance for _, instance in strangers}))

    async def load(
        self,
        pairs: Set[Pair],
        *,
        whole: Set[int],
        under_lock: Mapping[int, Seen],
        boots: Set[tuple[int, str]],
        strangers: Set[Pair] = frozenset(),
        answers: Sequence[Sequence[Any]] = (),
    ) -> None:
        """The states of `pairs`, whose breakers are locked and are as this; of the instances in `whole` these
        are all there are. `boots` are those that events name; `answers` end with those on `strangers`, if
        there are any."""
        self._whole = whole
        known = self._remembered.known(pairs - strangers, under_lock)
        moved = pairs - strangers - known.keys()
        if strangers:
            known |= known_of(strangers, answers[-2])
        if moved:
            self._ask_states(moved)
            known |= known_of(moved, (await self._db.answers())[-1])
        self.read_again = {instance for _, instance in strangers | moved}
        self.held = {pair: known[pair].held for pair in pairs}
        self._metrics_at = {pair: known[pair].metrics_at for pair in pairs}
        self.boots = {
            (pair[1], held.last.boot): held.last.boot_at
            for pair, held in self.held.items()
            if held is not None and held.last.boot is not None and held.last.boot_at is not None
        }
        # Where another boot speaks than the last, its rank decides, and it may have changed meanwhile.
        strange = {instance for instance, _ in boots - self.boots.keys()} | whole
        asked = {instance for _, instance in strangers}
        if strangers:
            self._take_boots(asked, answers[-1])
        if strange - asked:
            found = await self._db.fetch("load_boots", instances=sorted(strange - asked))
            self._take_boots(strange - asked, found)

    def _ask_states(self, pairs: Set[Pair]) -> None:
        self._db.ask(
            "load_states",
            breakers=sorted({breaker for breaker, _ in pairs}),
            instances=sorted({instance for _, instance in pairs}),
        )

    def _take_boots(self, instances: Set[int], found: Iterable[Sequence[Any]]) -> None:
        for instance, boot, at in found:
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
            if (
                event.metrics is not None
                or event.library is not None
                or event.labels is not None
                or event.probe_due_at is not None
            ):
                self._note_sample(row)
            if event.type != "state_change":
                continue
            before = self.held[pair]
            after = None
            if row.instance_id not in self._reranked:
                after = transition(before, self._change_of(row))
            # The last change is the latest too, until one that is not.
            if (
                after is None
                or pair in self._unsure
                or (before is not None and row.occurred_at < before.last.occurred_at)
            ):
                self._unsure.setdefault(pair, []).append(row.occurred_at)
            if after is None:
                self._late.add(pair)
                self._judged.append(Judged(row, True, before, before))
            else:
                self._move(pair, after)
                self._judged.append(Judged(row, False, before, after))

    async def rederive(self) -> None:
        """A late change may still lengthen or break the run whose beginning is `since`, and a boot that
        moved in the ranking may put another event at its top."""
        reranked = {pair for pair in self.held if pair[1] in self._reranked}
        late = self._late | reranked
        await self._note_disorder(reranked)
        self._late, self._reranked, self._unsure = set(), set(), {}
        for pair, after in (await self._derive(late)).items():
            if after != self.held[pair]:
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

    async def _note_disorder(self, reranked: Set[Pair]) -> None:
        if self._unsure:
            came = [(*pair, at) for pair, ats in self._unsure.items() for at in ats]
            breakers, instances, times = zip(*came, strict=True)
            await self._db.execute(
                "note_disorder",
                breakers=list(breakers),
                instances=list(instances),
                times=list(times),
            )
        if reranked:
            await self._db.execute("note_all_disordered", **_columns(reranked))

    async def _derive(self, pairs: Set[Pair]) -> dict[Pair, Held]:
        """What history says of them; nothing of some."""
        if not pairs:
            return {}
        found = {
            (row.breaker_id, row.instance_id): row
            for row in await self._db.named("states_now", **_columns(pairs))
        }
        ordered = {pair for pair in pairs if pair not in found or not found[pair].disordered}
        if ordered:
            await self._db.execute("forget_disorder", **_columns(ordered))
        return {
            pair: Held(change_of(row.state, row.at, row), row.since, row.not_closed_since)
            for pair, row in found.items()
        }

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
        if event.probe_due_at is not None:
            self._note_due(row, event.probe_due_at)

    def _note_due(self, row: Row, due: datetime) -> None:
        """A state change says it of itself; a sample of the one that stands, if it is older than neither that nor
        the newest sample."""
        event, held = row.event, self.held[row.pair]
        if event.type == "state_change":
            self._dues[row.pair, event.event_id] = due
        elif held is not None:
            newest = self._metrics_at.get(row.pair) or held.last.occurred_at
            if row.occurred_at >= max(newest, held.last.occurred_at):
                self._dues[row.pair, held.last.event_id] = due
                self.changed.add(row.breaker_id)

    def note_due(self, pair: Pair, due: datetime) -> None:
        """What a hello says of the state that stands."""
        held = self.held.get(pair)
        if held is not None:
            self._samples.setdefault(pair, Sample(metrics_at=self._metrics_at.get(pair)))
            self._dues[pair, held.last.event_id] = due
            self._written_up = None

    def _due(self, pair: Pair) -> datetime | None:
        held = self.held[pair]
        if held is None or held.state is not State.OPEN:
            return None
        return self._dues.get((pair, held.last.event_id))

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
        samples = [self._samples.get(pair) or NOTHING for pair in pairs]
        dues = [self._due(pair) if self._dues else None for pair in pairs]
        states = columns_of_states(pairs, held, samples, dues) if pairs else None
        news = [item for item in self._judged if item.is_news]
        self._written_up = Writing(states, columns_of_outbox(news) if news else None)

    @property
    def sampled(self) -> set[int]:
        """Breakers of which new metrics came."""
        return {pair[0] for pair, sample in self._samples.items() if sample.metrics is not None}

    def store(self) -> bool:
        """Asks for states, samples and what is to be judged to be written; whether anything is to be judged."""
        if self._written_up is None:
            self.write_up()
        assert self._written_up is not None
        states, news = self._written_up
        if states:
            self._db.ask("store_states", **states)
        if news:
            self._db.ask("fill_outbox", **news)
        return news is not None


def _columns(pairs: Iterable[Pair]) -> dict[str, list[int]]:
    ordered = sorted(pairs)
    return {"breakers": [pair[0] for pair in ordered], "instances": [pair[1] for pair in ordered]}
