"""The next group, judged as it comes in, while PostgreSQL is at work on the group before.

What is judged ahead builds on what the group before will leave behind, committed or not: that is noted as soon as
its last statement is known. Nothing wrong comes of it where that group fails, or where another process moves a
breaker in between: a draft names the change numbers that it expects and fails with them, and its events are then
committed as those of a group that looks first. So are all that need anything read.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from functools import partial

from breakers.db import Connection
from breakers.ingest.effects import Effects, conclude
from breakers.ingest.insert import insert
from breakers.ingest.jobs import AnyJob, Batch, Stored
from breakers.ingest.judging import Judging
from breakers.ingest.memory import Memory
from breakers.ingest.remembered import Seen
from breakers.ingest.row import Row
from breakers.ingest.rows import rows_of_known
from breakers.ingest.statements import Statements


class Draft:
    """Begins empty; is written at most once, and noted from then on."""

    def __init__(self, memory: Memory) -> None:
        self.jobs: list[Batch] = []
        self.is_open = True
        """Whether more may be added."""
        self.is_spoiled = False
        """Whether it cannot be written, for something of it did not come in order."""
        self._memory = memory
        self._judging = Judging()
        self._rows: list[Row] = []
        self._ids: set[str] = set()
        self._breakers: dict[int, Seen] = {}
        """As they will be found."""
        self._targets: dict[int, str] = {}

    def add(self, job: AnyJob, *, at_most: int) -> bool:
        """Judges the events of the job, if nothing need be read for that, nor more rows be held than `at_most`; else
        no other may follow."""
        self.is_open = isinstance(job, Batch) and self._take(job, at_most)
        return self.is_open

    def _take(self, job: Batch, at_most: int) -> bool:
        if len(self._rows) + job.weight > at_most:
            return False
        rows = rows_of_known(self._memory.registry, job)
        if rows is None or not self._memory.partitions.are_there(job.events):
            return False
        ids = {row.event.event_id for row in rows}
        if len(ids) < len(rows) or not self._ids.isdisjoint(ids):
            return False
        if not all(map(self._goes_on, rows)):
            return False
        self._judging.judge(rows)
        if not self._judging.is_in_order:
            self.is_spoiled = True
            return False
        self.jobs.append(job)
        self._rows += rows
        self._ids |= ids
        for row in rows:
            target = row.event.target
            if target and target != self._breakers[row.pair[0]].target:
                self._targets[row.pair[0]] = target
        return True

    def _goes_on(self, row: Row) -> bool:
        """Whether all is known that the event is judged by: its breaker instance, in this boot."""
        pair, event = row.pair, row.event
        if pair not in self._judging:
            remembered = self._memory.states.of(pair[0])
            known = remembered.instances.get(pair[1])
            if known is None:
                return False
            self._judging.put({pair: known})
            self._breakers[pair[0]] = remembered.seen
        if event.type != "state_change":
            return True
        held = self._judging.held(pair)
        if held is None or held.last.boot != event.boot:
            return False
        began = held.last.boot_at
        return event.boot is None or (began is not None and row.occurred_at >= began)

    async def write(self, connection: Connection, *, noted: Callable[[], object]) -> Effects:
        """Commits it. `noted` is called when all is in memory that it will leave behind. Raises Moved where a breaker
        was not as expected; after any exception what is noted does not hold."""
        db = Statements(connection)
        async with db.all_or_nothing():
            db.ask("begin")
            ids = sorted(self._breakers)
            db.ask("lock_unmoved", breakers=ids, changes=[self._breakers[id].change for id in ids])
            spoke = self._memory.spoken.silent({row.pair[1] for row in self._rows})
            if spoke:
                db.ask("touch_instances", instances=sorted(spoke))
            meanwhile = partial(self._note, spoke, noted)
            await insert(db, self._rows, meanwhile=meanwhile, ahead=True)
            effects = await conclude(db, self._judging, targets=self._targets)
        effects.answers = {job: [Stored.ACCEPTED] * len(job.events) for job in self.jobs}
        return effects

    def _note(
        self, spoke: Set[int], noted: Callable[[], object], go_on: Callable[[], object]
    ) -> None:
        self._judging.write_up()
        go_on()
        changed = self._judging.changed | self._targets.keys()
        left = {
            id: Seen(
                self._breakers[id].change + 1, self._targets.get(id, self._breakers[id].target)
            )
            for id in changed
        }
        self._memory.states.note(self._judging.known, self._breakers, left)
        self._memory.spoken.note(spoke)
        noted()
