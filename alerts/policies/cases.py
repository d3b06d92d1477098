"""A case as a row, and back."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from alerts.judging import Replay
from alerts.models import PolicyCase
from alerts.policies import fleet
from alerts.policies.fleet import ByHand, Case, Phase
from breakers.models import FormerName, Named
from breakers.states import State


def is_unwell(replay: Replay) -> bool:
    """Whether some instance is open, or was within these steps."""
    opened = any(step.instance and step.instance.natural is State.OPEN for step in replay.steps)
    return opened or any(one.live and one.natural is State.OPEN for one in replay.now.instances)


def case_of(row: PolicyCase, replay: Replay, now: datetime, *, by_hand: ByHand) -> Case:
    """As it was before what is replayed; of a row that nobody has looked at, as a first look finds it."""
    if row.openings is None:
        return fleet.begin(replay.before, now, by_hand=by_hand)
    return Case(
        began_at=row.began_at,
        phase=Phase(row.phase),
        openings={int(id): datetime.fromisoformat(at) for id, at in row.openings.items()},
        tripped_at=row.tripped_at,
        again=row.again,
        until=row.until,
        probes=tuple(row.probes),
        recovered=tuple(row.recovered),
        reopened=row.reopened,
    )


def follow_names(cases: Iterable[tuple[PolicyCase, Replay]]) -> None:
    """Has the rows call instances that were renamed since by their new names, as the overrides do."""
    called = [
        (row, {one.name: one.id for one in replay.now.instances})
        for row, replay in cases
        if row.probes or row.recovered
    ]
    missing = {
        name for row, ids in called for name in (*row.probes, *row.recovered) if name not in ids
    }
    if not missing:
        return
    former = list(
        FormerName.objects.filter(
            kind=Named.INSTANCE,
            name__in=missing,
            target_id__in={id for _, ids in called for id in ids.values()},
        ).values_list("name", "target_id")
    )
    for row, ids in called:
        names = {id: name for name, id in ids.items()}
        now = {name: names[id] for name, id in former if id in names}
        row.probes = [now.get(name, name) for name in row.probes]
        row.recovered = [now.get(name, name) for name in row.recovered]


def fill(row: PolicyCase, case: Case) -> None:
    """The row says what the case says; a case that only watches holds nothing."""
    row.began_at = case.began_at
    row.phase = case.phase.value
    row.openings = {str(id): at.isoformat() for id, at in case.openings.items()}
    row.tripped_at, row.again, row.until = case.tripped_at, case.again, case.until
    row.probes, row.recovered = list(case.probes), list(case.recovered)
    row.reopened = case.reopened
    if case.phase is Phase.WATCHING:
        row.revision = None
