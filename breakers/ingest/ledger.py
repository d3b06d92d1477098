"""The states of the breaker instances that a transaction touches: read under lock, moved, written back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import replace
from datetime import datetime
from typing import Any

from breakers.ingest.rows import Pair, Row
from breakers.ingest.statements import Statements
from breakers.states import Change, Held, Origin, State, derive, transition


class RankMoved(Exception):
    """Another writer changed the boots of an instance between our look and our lock; look again."""


class Ledger:
    """`held` is the state of each pair as far as the transaction has got; None: nothing known yet."""

    def __init__(self, db: Statements) -> None:
        self._db = db
        self.held: dict[Pair, Held | None] = {}
        self.boots: dict[tuple[int, str], datetime] = {}
        self._whole: Set[int] = set()
        self.changed: set[int] = set()
        """Breakers whose summary may differ now."""
        self._moved: dict[Pair, Held] = {}
        self._outbox: list[tuple[Row, bool, Held | None, Held | None]] = []

    @property
    def judged(self) -> int:
        """Rows for the outbox."""
        return len(self._outbox)

    async def load(self, pairs: set[Pair], *, whole: Set[int]) -> None:
        """Reads the states of `pairs`, under lock; of the instances in `whole` these are all there are."""
        self._whole = whole
        instances = sorted({instance for _, instance in pairs})
        breakers = sorted({breaker for breaker, _ in pairs})
        self.held = dict.fromkeys(pairs)
        for found in await self._db.named("load_states", breakers=breakers, instances=instances):
            pair = found.breaker_id, found.instance_id
            if pair in pairs and found.event_id is not None:
                self.held[pair] = Held(
                    _change(found.state, found.at, found), found.since, found.not_closed_since
                )
        self.boots = {
            (instance, boot): at
            for instance, boot, at in await self._db.fetch("load_boots", instances=instances)
        }

    async def judge(self, rows: Sequence[Row]) -> None:
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
            self._outbox.append((row, after is None, before, after or before))
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
        for at, (row, late, _, _) in enumerate(self._outbox):
            if row.pair == pair and late and row.event.event_id == after.last.event_id:
                self._outbox[at] = (row, False, before, after)

    async def _rank_boots(self, rows: Sequence[Row]) -> set[int]:
        """Notes the boots' beginnings; gives the instances whose ranking of boots changed."""
        booted = [row for row in rows if row.event.boot is not None]
        if not booted:
            return set()
        lives = Counter(instance for instance, _ in self.boots)
        moved = set()
        for instance, boot, first_at, was_known in await self._db.fetch(
            "rank_boots",
            instances=[row.instance_id for row in booted],
            boots=[row.event.boot for row in booted],
            times=[row.occurred_at for row in booted],
        ):
            self.boots[instance, boot] = first_at
            if was_known and lives[instance] > 1:
                if instance not in self._whole:
                    raise RankMoved
                moved.add(instance)
        for pair, held in self.held.items():
            if held is not None and held.last.boot is not None:
                boot_at = self.boots.get((pair[1], held.last.boot))
                self.held[pair] = replace(held, last=replace(held.last, boot_at=boot_at))
        return moved

    async def _derive(self, pair: Pair) -> Held | None:
        found = await self._db.named("history_of", breaker=pair[0], instance=pair[1])
        return derive(_change(row.to_state, row.occurred_at, row) for row in found)

    def _move(self, pair: Pair, after: Held) -> None:
        self.held[pair] = self._moved[pair] = after
        self.changed.add(pair[0])

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

    def look_again(self, row: Row) -> None:
        """Puts a row into the outbox that changed no state, so that what is left is judged."""
        held = self.held[row.pair]
        self._outbox.append((row, False, held, held))

    async def store(self) -> None:
        if self._moved:
            pairs = sorted(self._moved)
            held = [self._moved[pair] for pair in pairs]
            await self._db.execute(
                "store_states",
                breaker_id=[breaker for breaker, _ in pairs],
                instance_id=[instance for _, instance in pairs],
                state=[item.state for item in held],
                natural_state=[item.natural_state for item in held],
                since=[item.since for item in held],
                not_closed_since=[item.not_closed_since for item in held],
                cause=[item.last.cause for item in held],
                reason=[item.last.reason for item in held],
                detail=[item.last.detail for item in held],
                boot=[item.last.boot for item in held],
                seq=[item.last.seq for item in held],
                at=[item.last.occurred_at for item in held],
                origin=[item.last.origin for item in held],
                event_id=[item.last.event_id for item in held],
            )
        if self._outbox:
            await self._store_outbox()

    async def _store_outbox(self) -> None:
        rows = [row for row, _, _, _ in self._outbox]
        before = [held for _, _, held, _ in self._outbox]
        after = [held for _, _, _, held in self._outbox]
        await self._db.execute(
            "insert_outbox",
            breaker_id=[row.breaker_id for row in rows],
            instance_id=[row.instance_id for row in rows],
            event_id=[row.event.event_id for row in rows],
            occurred_at=[row.occurred_at for row in rows],
            to_state=[row.event.to for row in rows],
            late=[late for _, late, _, _ in self._outbox],
            before_state=[held.state if held else State.UNKNOWN for held in before],
            before_natural=[held.natural_state if held else None for held in before],
            state=[held.state if held else State.UNKNOWN for held in after],
            natural_state=[held.natural_state if held else None for held in after],
            since=[held.since if held else None for held in after],
            cause=[row.event.cause for row in rows],
            detail=[row.event.detail for row in rows],
        )


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
