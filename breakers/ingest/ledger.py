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
_DERIVED_AT_ONCE = 20


class LockWhole(Exception):
    """Something is so of these instances that concerns each of their breakers, as that boots changed places: begin
    again with all of those locked."""

    def __init__(self, instances: Set[int]) -> None:
        super().__init__(f"all breakers of {len(instances)} instances are concerned")
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
        """Notes the boots' beginnings. Raises LockWhole where boots of an instance change places by that, and it is
        not locked whole."""
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
        instances = {instance for instance, _ in earlier}
        self._db.ask("lock_instances", instances=sorted(instances))
        self._db.ask(
            "rank_boots",
            instances=[instance for instance, _ in earlier],
            boots=[boot for _, boot in earlier],
            times=list(earlier.values()),
        )
        self._db.ask("load_boots", instances=sorted(instances))
        *_, ranked, found = await self._db.answers()
        self._take_boots(instances, found)
        lowered: dict[int, dict[str, datetime | None]] = {}
        for instance, boot, was in ranked:
            lowered.setdefault(instance, {})[boot] = was
        # Of one that is new nothing was said before, wherever it stands.
        new = earlier.keys() - {(instance, boot) for instance, boot, _ in ranked}
        now: dict[int, dict[str, datetime]] = {}
        for instance, boot, at in found:
            if (instance, boot) not in new:
                now.setdefault(instance, {})[boot] = at
        moved = {instance for instance, was in lowered.items() if _moves(was, now[instance])}
        if moved - self._whole:
            raise LockWhole(moved - self._whole)
        self._reranked |= moved

    async def rederive(self) -> None:
        """A late change may still lengthen or break the run whose beginning is `since`, and a boot that
        moved in the ranking may put another event at its top."""
        reranked = self._pairs_of(self._reranked)
        late = self._late | reranked
        await self._note_disorder(reranked)
        self._late, self._reranked, self._unsure = set(), set(), {}
        for pair, after in (await self._derive(late)).items():
            if after != self.held(pair):
                self._move(pair, after)

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
        found: dict[Pair, Any] = {}
        asked = sorted(pairs)
        # Each has a bound on the time that it takes, and history that is out of order is read whole.
        for start in range(0, len(asked), _DERIVED_AT_ONCE):
            some = asked[start : start + _DERIVED_AT_ONCE]
            for row in await self._db.named("states_now", **_columns(some)):
                found[row.breaker_id, row.instance_id] = row
        ordered = {pair for pair in pairs if pair not in found or not found[pair].disordered}
        if ordered:
            await self._db.execute("forget_disorder", **_columns(ordered))
        return {
            pair: Held(change_of(row.state, row.at, row), row.since, row.not_closed_since)
            for pair, row in found.items()
        }


def _moves(was: Mapping[str, datetime | None], now: Mapping[str, datetime]) -> bool:
    """Whether boots stand in another order `now` than when some of them began as they `was`; None: nobody knows when."""
    before = {boot: was.get(boot, at) for boot, at in now.items()}
    if None in before.values():
        return len(now) > 1
    return sorted(now, key=lambda boot: (now[boot], boot)) != sorted(
        now, key=lambda boot: (before[boot], boot)
    )


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
