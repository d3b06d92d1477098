"""History in the order of its receipt, which is the order in which alerts heard of it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from psycopg.rows import namedtuple_row

from breakers.errors import FieldError, Invalid
from breakers.sql import statements
from breakers.states import Change, Held, Origin, State, transition

_SQL = statements("receipt")
_KEEP = statements("history")["keep_events"]
_INSTANT = timedelta(microseconds=1)
Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Stood:
    """What a breaker instance was, and since when; `state` is unknown where nothing is known.

    `not_closed_since` is the beginning of the outage around it, as in `states.Held`.
    """

    state: State
    natural: State | None
    since: datetime | None
    not_closed_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Moved:
    """At `at` this was received, and moved the state."""

    at: datetime
    became: Stood


@dataclass(frozen=True, slots=True)
class Lane:
    """One breaker instance over a span: how it stood before, and what moved it, in order of receipt.

    `absences` are the times in which its instance was retired or had no such breaker; an end of None lies beyond what is known.
    """

    breaker_id: int
    instance_id: int
    instance: str
    library: str | None
    labels: dict[str, str]
    before: Stood
    moves: tuple[Moved, ...]
    absences: tuple[tuple[datetime, datetime | None], ...]


def lanes_of(breakers: Sequence[int], *, since: datetime, until: datetime, most: int) -> list[Lane]:
    """Of each instance of these breakers, by breaker. Late events moved nothing and are left out.

    Raises Invalid where more than `most` events were received.
    """
    asked = {"breakers": list(breakers), "since": since, "until": until}
    with transaction.atomic():
        _fetch(_KEEP)
        rows = _fetch(_SQL["lanes"], **asked)
        received = _fetch(_SQL["received"], **asked, most=most + 1)
        if len(received) > most:
            raise Invalid(
                [FieldError(("since",), f"more than {most:,} events were received since then")]
            )
        later = {(row.breaker_id, row.instance_id) for row in _fetch(_SQL["moved_later"], **asked)}
        by_pair: dict[Pair, list[Any]] = defaultdict(list)
        for row in received:
            by_pair[row.breaker_id, row.instance_id].append(row)
        begun = _begun(by_pair, later, since)
        held = _held(begun, since)
        gone: dict[tuple[int | None, int], list[tuple[datetime, datetime | None]]] = defaultdict(
            list
        )
        for row in _fetch(
            _SQL["absences"], **asked, instances=sorted({row.instance_id for row in rows})
        ):
            gone[row.breaker_id, row.instance_id].append((row.since, row.until))
    return [
        _lane(
            row,
            begun=(row.breaker_id, row.instance_id) in begun,
            held=held.get((row.breaker_id, row.instance_id)),
            received=by_pair.get((row.breaker_id, row.instance_id), ()),
            absences=sorted(gone[None, row.instance_id] + gone[row.breaker_id, row.instance_id])
            + ([(row.retired_at, None)] if row.retired_at and row.retired_at < until else []),
        )
        for row in rows
    ]


def _begun(
    received: dict[Pair, list[Any]], later: set[Pair], since: datetime
) -> dict[Pair, datetime]:
    """Up to when the states are read from history at once: before whatever was received in the span."""
    begun = dict.fromkeys(later, since)
    for pair, rows in received.items():
        begun[pair] = min(since, min(row.occurred_at for row in rows) - _INSTANT)
    return begun


def _held(begun: dict[Pair, datetime], since: datetime) -> dict[Pair, Held | None]:
    """How these stood when the span began, by all that had been received by then."""
    pairs = {
        "breakers": [breaker for breaker, _ in begun],
        "instances": [instance for _, instance in begun],
        "times": list(begun.values()),
    }
    held: dict[Pair, Held | None] = {}
    for row in _fetch(_SQL["stood"], **pairs):
        change = _change(row, state=row.state, at=row.at)
        held[row.breaker_id, row.instance_id] = Held(change, row.since, row.not_closed_since)
    for row in _fetch(_SQL["known_before"], **pairs, since=since):
        pair = row.breaker_id, row.instance_id
        change = _change(row, state=row.to_state, at=row.occurred_at)
        held[pair] = transition(held.get(pair), change) or held[pair]
    return held


def _lane(
    row: Any,
    *,
    begun: bool,
    held: Held | None,
    received: Sequence[Any],
    absences: list[tuple[datetime, datetime | None]],
) -> Lane:
    if begun:
        before = _stood(held)
    else:  # nothing was received since: it is what it was
        natural = None if row.natural_state is None else State(row.natural_state)
        before = Stood(State(row.state), natural, row.since, row.not_closed_since)
    moves = []
    for event in received:
        moved = transition(held, _change(event, state=event.to_state, at=event.occurred_at))
        if moved is not None:
            held = moved
            moves.append(Moved(event.received_at, _stood(held)))
    return Lane(
        breaker_id=row.breaker_id,
        instance_id=row.instance_id,
        instance=row.name,
        library=row.library,
        labels=json.loads(row.labels) if isinstance(row.labels, str) else row.labels,
        before=before,
        moves=tuple(moves),
        absences=tuple(absences),
    )


def _stood(held: Held | None) -> Stood:
    return (
        Stood(State.UNKNOWN, None, None)
        if held is None
        else Stood(held.state, held.natural_state, held.since, held.not_closed_since)
    )


def _change(row: Any, *, state: str, at: datetime) -> Change:
    return Change(
        to=State(state),
        natural_state=None if row.natural_state is None else State(row.natural_state),
        cause="",
        reason=None,
        detail=None,
        boot=row.boot,
        boot_at=row.boot_at,
        seq=row.seq,
        occurred_at=at,
        origin=Origin(row.origin),
        event_id=row.event_id,
    )


def _fetch(statement: str, **parameters: Any) -> list[Any]:
    """Named tuples, of which Django's cursor knows nothing."""
    with connection.cursor() as cursor:
        cursor.cursor.row_factory = namedtuple_row
        cursor.execute(statement, parameters)
        return list(cursor.fetchall()) if cursor.description else []
