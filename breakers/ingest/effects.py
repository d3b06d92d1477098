"""The end of every group: what it moved is stored, those who are told are named, and it is committed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from breakers.ingest.jobs import AnyJob
from breakers.ingest.judging import Judging
from breakers.ingest.remembered import Seen
from breakers.ingest.row import Pair
from breakers.ingest.statements import Statements


@dataclass
class Effects:
    """What a commit changed, for those who are told afterwards."""

    answers: dict[AnyJob, Any] = field(default_factory=dict)
    changed: set[int] = field(default_factory=set)
    """Breakers whose summary may differ now."""
    left: dict[int, Seen] = field(default_factory=dict)
    """Those as they are now."""
    judged: bool = False
    """Whether anything waits to be judged now."""
    wished: set[int] = field(default_factory=set)
    """Services in which something is wished anew."""


@dataclass(frozen=True, kw_only=True)
class Ending:
    """What was asked of PostgreSQL last in a group, and where its answers will be."""

    db: Statements
    changed: set[int]
    is_judged: bool
    """Whether something was put into the outbox in any case."""
    looked: list[int]
    touched: int | None

    @classmethod
    def ask(
        cls,
        db: Statements,
        judging: Judging,
        *,
        targets: Mapping[int, str],
        applied: Set[int] = frozenset(),
        left: Sequence[Pair] = (),
        are_there: bool = False,
    ) -> Ending:
        """Asks for all to be stored and committed. `targets` are the new ones of breakers; of those in `applied` an
        instance said what it has applied; those in `left` are no longer their instance's. Where all breaker instances `are_there`, their states are only moved."""
        states, news = judging.write_up()
        if states:
            db.ask("move_states" if are_there else "store_states", **states)
        if news:
            db.ask("fill_outbox", **news)
        looked = [
            db.ask(name, breakers=sorted(breakers))
            for name, breakers in (
                ("look_at_sampled", judging.sampled),
                ("look_at_overridden", applied),
            )
            if breakers
        ]
        changed = judging.changed | targets.keys()
        touched = None
        if changed:
            ids = sorted(changed)
            touched = db.ask(
                "touch_breakers", breakers=ids, targets=[targets.get(id) for id in ids]
            )
        if left:
            pairs = {"breakers": [one for one, _ in left], "instances": [one for _, one in left]}
            db.ask("part", **pairs)
        db.ask("commit")
        return cls(
            db=db, changed=changed, is_judged=news is not None, looked=looked, touched=touched
        )

    async def effects(self) -> Effects:
        """Has it done."""
        answers = await self.db.answers()
        touched = () if self.touched is None else answers[self.touched]
        return Effects(
            changed=self.changed,
            left={id: Seen(change, target) for id, change, target in touched},
            judged=self.is_judged or any(answers[place] for place in self.looked),
        )
