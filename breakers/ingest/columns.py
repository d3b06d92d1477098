"""What the ledger reads and writes, as columns of PostgreSQL and as what they mean."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from breakers.ingest.pgtext import array
from breakers.ingest.remembered import Known
from breakers.ingest.row import Pair
from breakers.ingest.rows import as_json
from breakers.outbox import OutboxStep, steps_as_text
from breakers.states import Change, Held, Origin, State
from breakers.wire import Labels, Metrics

_STATES = {state.value: state for state in State}


class Judged(msgspec.Struct, frozen=True, gc=False):
    """What a state change did; a late one moved nothing. `again` is judged although nothing moved."""

    pair: Pair
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


class Now(msgspec.Struct, gc=False):
    """A breaker instance as far as a group has got: its state, and of what events say beside it the newest; None
    leaves what is known."""

    held: Held | None
    metrics_at: datetime | None
    is_moved: bool = False
    is_said: bool = False
    """Whether anything was said beside the state."""
    metrics: Metrics | None = None
    library: str | None = None
    labels: Labels | None = None
    dues: dict[str, datetime] = {}
    """When a probe is due, by the id of the state change that this is said of."""

    @property
    def due(self) -> datetime | None:
        """When its probe is due, where that is said of the state that stands."""
        held = self.held
        if not self.dues or held is None or held.state is not State.OPEN:
            return None
        return self.dues.get(held.last.event_id)


class _Loaded(NamedTuple):
    """The columns of `load_states`."""

    breaker_id: int
    instance_id: int
    state: str
    natural_state: str | None
    since: datetime
    not_closed_since: datetime | None
    cause: str
    reason: str | None
    detail: str | None
    boot: str | None
    boot_at: datetime | None
    seq: int | None
    at: datetime
    origin: str
    event_id: str | None
    metrics_at: datetime | None


def known_of(pairs: Set[Pair], rows: Iterable[Sequence[Any]]) -> dict[Pair, Known]:
    """Of each pair what was read of it, which may be nothing."""
    known = dict.fromkeys(pairs, Known(None, None))
    for found in map(_Loaded._make, rows):
        pair = found.breaker_id, found.instance_id
        if pair in known:
            held = None
            if found.event_id is not None:
                last = change_of(found.state, found.at, found)
                held = Held(last, found.since, found.not_closed_since)
            known[pair] = Known(held, found.metrics_at)
    return known


def columns_of_states(pairs: Sequence[Pair], nows: Sequence[Now]) -> dict[str, str]:
    """What `store_states` takes: of each pair its state, what was said beside it, and when its probe is due."""
    held = [now.held for now in nows]
    last = [item and item.last for item in held]
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
        "metrics": [as_json(now.metrics) for now in nows],
        "metrics_at": [now.metrics_at if now.metrics is not None else None for now in nows],
        "library": [now.library for now in nows],
        "labels": [as_json(now.labels) for now in nows],
        "probe_due_at": [now.due for now in nows],
    }
    return {name: array(values) for name, values in columns.items()}


def columns_of_outbox(news: Iterable[Judged]) -> dict[str, str]:
    """What `fill_outbox` takes: a row for each breaker, with what moved in it; late events moved nothing."""
    steps: dict[int, list[OutboxStep]] = {}
    for place, item in enumerate(news):
        breaker, instance = item.pair
        mine = steps.setdefault(breaker, [])
        if item.after is not None and not item.late:
            mine.append(_step(place, instance, item.before, item.after))
    return {
        "breakers": array(list(steps)),
        "steps": array([steps_as_text(mine) for mine in steps.values()]),
    }


def _step(place: int, instance_id: int, before: Held | None, after: Held) -> OutboxStep:
    return OutboxStep(
        place,
        instance_id,
        before.last.to if before else State.UNKNOWN,
        before.last.natural_state if before else None,
        after.last.to,
        after.last.natural_state,
        after.since,
    )


def change_of(to: str, at: datetime, found: Any) -> Change:
    """A change as PostgreSQL has it, but for its state and time."""
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
