"""The states of the breaker instances that a transaction touches: read under lock, moved, written back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from datetime import datetime
from typing import Any

import msgspec

from breakers.ingest.columns import change_of, known_of
from breakers.ingest.judging import Judging
from breakers.ingest.remembered import Remembered, Seen
from breakers.ingest.row import Pair, Row
from breakers.ingest.statements import Statements
from breakers.states import Held

_APART_MAX = 8


class RankMoved(Exception):
    """Boots of these instances changed places, and with them maybe the state of each of their breakers:
    begin again with all of those locked."""

    def __init__(self, instances: Set[int]) -> None:
        super().__init__(f"boots of {len(instances)} instances changed places")
        self.instances = instances


class Ledger(Judging):
    """Judges, and asks the database for what it needs to know for that."""

    def __init__(self, db: Statements, remembered: Remembered) -> None:
        super().__init__()
        self._db = db
        self._remembered = remembered
        self.read_again: set[int] = set()
        """Instances that were not as remembered."""
        self._whole: Set[int] = set()

    def strangers(self, pairs: Set[Pair]) -> Set[Pair]:
        """Those whose states are to be read: nothing is remembered of them."""
        return self._remembered.strangers(pairs)

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
        boots: Set[tuple[Pair, str]],
        strangers: Set[Pair] = frozenset(),
        answers: Sequence[Sequence[Any]] = (),
    ) -> None:
        """The states of `pairs`, whose breakers are locked and are as this; of the instances in `whole` these
        are all there are. `boots` are those in which events say they are; `answers` end with those on `strangers`, if
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
        self.put({pair: known[pair] for pair in pairs})
        # Where another boot speaks than the last, its rank decides, and it may have changed meanwhile: by an event of
        # another breaker, too, which leaves the change numbers of these alone.
        strange = {pair[1] for pair, boot in boots if not self._speaks_last(pair, boot)} | whole
        asked = {instance for _, instance in strangers}
        if strangers:
            self._take_boots(asked, answers[-1])
        if strange - asked:
            found = await self._db.fetch("load_boots", instances=sorted(strange - asked))
            self._take_boots(strange - asked, found)

    def _speaks_last(self, pair: Pair, boot: str) -> bool:
        held = self.held(pair)
        return held is not None and held.last.boot == boot

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
        for pair in self._pairs_of(instances):
            now = self.now[pair]
            held = now.held
            if held is not None and held.last.boot is not None:
                boot_at = self.boots.get((pair[1], held.last.boot))
                last = msgspec.structs.replace(held.last, boot_at=boot_at)
                now.held = msgspec.structs.replace(held, last=last)

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

    async def rederive(self) -> None:
        """A late change may still lengthen or break the run whose beginning is `since`, and a boot that
        moved in the ranking may put another event at its top."""
        reranked = self._pairs_of(self._reranked)
        late = self._late | reranked
        await self._note_disorder(reranked)
        self._late, self._reranked, self._unsure = set(), set(), {}
        for pair, after in (await self._derive(late)).items():
            before = self.held(pair)
            if after != before:
                self._move(pair, after)
                if before is None or before.state is not after.state:
                    self._mark_moved(pair, before, after)

    async def _note_disorder(self, reranked: Set[Pair]) -> None:
        if self._unsure:
            came = [(*pair, *span) for pair, ats in self._unsure.items() for span in _spans(ats)]
            breakers, instances, firsts, lasts = zip(*came, strict=True)
            await self._db.execute(
                "note_disorder",
                breakers=list(breakers),
                instances=list(instances),
                firsts=list(firsts),
                lasts=list(lasts),
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


def _spans(times: Sequence[datetime]) -> list[tuple[datetime, datetime]]:
    """From when to when history is to be looked at for what came at these times: of many those before the widest gap,
    which are late, and those behind it, for around each time all between its neighbours is read."""
    if len(times) <= _APART_MAX:
        return [(at, at) for at in times]
    ordered = sorted(times)
    gap = max(range(1, len(ordered)), key=lambda at: ordered[at] - ordered[at - 1])
    return [(ordered[0], ordered[gap - 1]), (ordered[gap], ordered[-1])]


def _columns(pairs: Iterable[Pair]) -> dict[str, list[int]]:
    ordered = sorted(pairs)
    return {"breakers": [pair[0] for pair in ordered], "instances": [pair[1] for pair in ordered]}
