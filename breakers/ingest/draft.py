"""The next group, judged as it comes in, while PostgreSQL is at work on the group before.

What is judged ahead builds on what the group before will leave behind, committed or not: that is noted as soon as
its last statement is known. Nothing wrong comes of it where that group fails, or where another process moves a
breaker in between: a draft names the change numbers that it expects and fails with them, and its events are then
committed as those of a group that looks first. So are all that need anything read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set

from breakers.db import Connection
from breakers.ingest.effects import Effects, Ending
from breakers.ingest.insert import insert
from breakers.ingest.jobs import AnyJob, Batch, Stored
from breakers.ingest.judging import Judging
from breakers.ingest.memory import Memory
from breakers.ingest.remembered import Seen
from breakers.ingest.row import Row
from breakers.ingest.rows import make_lines, rows_of_known
from breakers.ingest.statements import Statements

_SOME = 50
"""Events that are judged in half a millisecond."""
_FEW = 40
"""Events that cost less to be judged again than a commit of their own, which takes both processes more than a
millisecond."""


class Draft:
    """Begins empty; is written at most once, and holds from then on what it is expected to leave behind."""

    def __init__(self, memory: Memory, *, at_most: int) -> None:
        self.jobs: list[Batch] = []
        self.is_open = True
        """Whether more may be judged: nothing need be read so far, and there is room for more rows."""
        self.is_spoiled = False
        """Whether it cannot be written: something did not come in order, or a job is in it by half."""
        self._memory = memory
        self._at_most = at_most
        self._judging = Judging()
        self._rows: list[Row] = []
        self._rest: list[Row] = []
        """Of the job that is being judged and is not among the others yet."""
        self._ids: set[str] = set()
        self._breakers: dict[int, Seen] = {}
        """As they will be found."""
        self._said: dict[int, str] = {}
        """The last targets that events name."""

    def is_worth_while(self, waiting: Sequence[AnyJob]) -> bool:
        """Whether to write it: not where it is a few events that what stands behind them can take along."""
        return self.is_open or len(self._rows) >= _FEW or len(self.jobs) == len(waiting)

    def judge_some(self, waiting: Sequence[AnyJob]) -> bool:
        """The next events of all that waits, in its order; whether there are more to judge."""
        if not self.is_open or len(self.jobs) == len(waiting):
            return False
        job = waiting[len(self.jobs)]
        if not (isinstance(job, Batch) and (self._rest or self._begin(job))):
            self.is_open = False
            return False
        some = self._rest[:_SOME]
        if not all(map(self._goes_on, some)):
            self.is_open = False
            self.is_spoiled = len(self._rest) < len(job.events)
            self._rest = []
            return False
        self._judging.judge(some)
        if not self._judging.is_in_order:
            self.is_open, self.is_spoiled = False, True
            return False
        make_lines(some)
        self._said.update((row.pair[0], row.event.target) for row in some if row.event.target)
        self._rows += some
        del self._rest[:_SOME]
        if not self._rest:
            self.jobs.append(job)
        return len(self.jobs) < len(waiting)

    def _begin(self, job: Batch) -> bool:
        if len(self._rows) + job.weight > self._at_most:
            return False
        if not self._memory.partitions.are_there(job.events):
            return False
        rows = rows_of_known(self._memory.registry, job.events)
        if rows is None:
            return False
        ids = {row.event.event_id for row in rows}
        if len(ids) < len(rows) or not self._ids.isdisjoint(ids):
            return False
        self._ids |= ids
        self._rest = rows
        return True

    def _goes_on(self, row: Row) -> bool:
        """Whether all is known that the event is judged by: its breaker instance, in this boot."""
        pair, event = row.pair, row.event
        now = self._judging.now.get(pair)
        if now is None:
            remembered = self._memory.states.of(pair[0])
            known = remembered.instances.get(pair[1])
            if known is None or known.held is None:
                return False
            now = self._judging.put_one(pair, known)
            self._breakers[pair[0]] = remembered.seen
        if event.type != "state_change":
            return True
        assert now.held is not None
        last = now.held.last
        if event.boot is None or last.boot_at is None:
            return event.boot is None and last.boot is None
        return event.boot == last.boot and row.occurred_at >= last.boot_at

    async def write(self, connection: Connection, *, noted: Callable[[], object]) -> Effects:
        """Commits it. `noted` is called when all is in memory that it will leave behind. Raises Moved where a breaker
        was not as expected; on any exception what is noted is forgotten, and no longer holds for a later draft."""
        db = Statements(connection)
        targets = {id: said for id, said in self._said.items() if said != self._breakers[id].target}
        spoke = self._memory.spoken.silent({row.pair[1] for row in self._rows})

        def meanwhile(go_on: Callable[[], object]) -> Ending:
            self._judging.write_up()
            go_on()
            ending = Ending.ask(db, self._judging, targets=targets, are_there=True)
            go_on()
            self._note(ending.changed, targets)
            self._memory.spoken.note(spoke)
            noted()
            return ending

        try:
            async with db.all_or_nothing():
                db.ask("begin")
                ids = sorted(self._breakers)
                changes = [self._breakers[id].change for id in ids]
                db.ask("lock_unmoved", breakers=ids, changes=changes)
                if spoke:
                    db.ask("touch_instances", instances=sorted(spoke), may_be_back=False)
                ending = await insert(db, self._rows, meanwhile=meanwhile, ahead=True)
                effects = await ending.effects()
        except BaseException:
            self._memory.states.forget_some(self._breakers)
            self._memory.spoken.forget(spoke)
            raise
        effects.answers = {job: [Stored.ACCEPTED] * len(job.events) for job in self.jobs}
        return effects

    def _note(self, changed: Set[int], targets: Mapping[int, str]) -> None:
        left = {
            id: Seen(self._breakers[id].change + 1, targets.get(id, self._breakers[id].target))
            for id in changed
        }
        self._memory.states.note(self._judging.known, self._breakers, left)
