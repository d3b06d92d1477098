"""The states of a breaker instance, their gravity, and the one order that decides between events.

Everything here is pure: the writer, `rebuild_state` and the tests share it.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple


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


class Rank(NamedTuple):
    """Where a state change stands in the history of its breaker instance; the highest is the state.

    Absent values come first. Boots are ranked by their earliest `occurred_at`, then by name, so that
    two boots with the same beginning still have one order. At the same instant the server's word
    comes after the agent's.
    """

    boot_at: tuple[bool, float]
    boot: str
    seq: int
    occurred_at: datetime
    by_server: bool
    event_id: str

    @classmethod
    def of(
        cls,
        *,
        boot: str | None,
        boot_at: datetime | None,
        seq: int | None,
        occurred_at: datetime,
        origin: Origin,
        event_id: str,
    ) -> Rank:
        return cls(
            boot_at=(boot_at is not None, boot_at.timestamp() if boot_at else 0.0),
            boot=boot or "",
            seq=-1 if seq is None else seq,
            occurred_at=occurred_at,
            by_server=origin is Origin.SERVER,
            event_id=event_id,
        )
