"""The states of a breaker instance, their gravity, and the one order that decides between events.

Everything here is pure. History over many events is ranked by PostgreSQL (`derived_states`, migrations 0010 and 0026), and a
property test holds the two against each other.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum

import msgspec


class State(StrEnum):
    """What a breaker instance is; `unknown` is only ever said by the server."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    FORCED_OPEN = "forced_open"
    FORCED_CLOSED = "forced_closed"
    UNKNOWN = "unknown"


class Mode(StrEnum):
    """What an override wishes for."""

    FORCED_OPEN = "forced_open"
    FORCED_CLOSED = "forced_closed"


class Origin(StrEnum):
    """Who says so: an agent (or a caller of the API), or the server by itself."""

    AGENT = "agent"
    SERVER = "server"


GRAVEST_FIRST = (
    State.OPEN,
    State.FORCED_OPEN,
    State.HALF_OPEN,
    State.FORCED_CLOSED,
    State.CLOSED,
    State.UNKNOWN,
)


CALM = frozenset({State.CLOSED, State.FORCED_CLOSED, State.UNKNOWN})
"""States in which nothing is refused, as far as anybody knows; any other is an outage that has a beginning."""


Rank = tuple[bool, datetime, str, int, datetime, str]
"""Where a state change stands in the history of its breaker instance; the highest is the state.

Boots come first, ranked by their earliest `occurred_at`, then by name, so that two boots with the same
beginning still have one order; then `seq`, time, and id. What is absent comes before what is there.
"""
_NEVER = datetime.min.replace(tzinfo=UTC)


class Change(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One state change as history holds it; `boot_at` is the earliest time of its boot, where it has one."""

    to: State
    natural_state: State | None
    cause: str
    reason: str | None
    detail: str | None
    boot: str | None
    boot_at: datetime | None
    seq: int | None
    occurred_at: datetime
    origin: Origin
    event_id: str

    @property
    def rank(self) -> Rank:
        return (
            self.boot_at is not None,
            self.boot_at or _NEVER,
            self.boot or "",
            -1 if self.seq is None else self.seq,
            self.occurred_at,
            self.event_id,
        )


class Held(msgspec.Struct, frozen=True, gc=False):
    """The current state of a breaker instance: its highest-ranking change, and since when it has been so.

    `not_closed_since` is the beginning of the outage around it: an open breaker that probes and opens again
    has been open for seconds, and not closed for an hour. None in a calm state.
    """

    last: Change
    since: datetime
    not_closed_since: datetime | None

    @property
    def state(self) -> State:
        return self.last.to

    @property
    def natural_state(self) -> State | None:
        return self.last.natural_state


def _is_later(change: Change, last: Change) -> bool:
    """By rank. A boot has one beginning, even where one of the two does not know yet that an earlier event has moved
    it; and of one boot the numbers almost always say it alone, for a tenth of the price."""
    if change.boot != last.boot:
        return change.rank > last.rank
    if change.seq != last.seq:
        return (-1 if change.seq is None else change.seq) > (-1 if last.seq is None else last.seq)
    return change.rank[4:] > last.rank[4:]


def transition(held: Held | None, change: Change) -> Held | None:
    """What the change makes of the state, or None where it is late and moves nothing.

    A change to the same state becomes the last one, and leaves `since` alone.
    """
    at = change.occurred_at
    if held is None:
        return Held(change, at, None if change.to in CALM else at)
    if not _is_later(change, held.last):
        return None
    return Held(
        change,
        held.since if held.state is change.to else at,
        None if change.to in CALM else held.not_closed_since or at,
    )
