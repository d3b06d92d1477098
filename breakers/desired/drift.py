"""How what an instance says of itself differs from what is wished of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from breakers.states import Mode, State

_FORCED = frozenset({State.FORCED_OPEN, State.FORCED_CLOSED})


class DriftKind(StrEnum):
    BEHIND = "behind"
    """It has not confirmed the revision that is wished."""
    REFUSED = "refused"
    """It said that it cannot."""
    CONTRADICTS = "contradicts"
    """It confirmed, or cannot be told, and its state is another than what is wished."""


@dataclass(frozen=True, slots=True)
class Drift:
    """`since` is the beginning of it, as far as known."""

    kind: DriftKind
    since: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """One breaker inside one instance, beside what is wished of it; `wanted` None: as the library judges."""

    state: State
    since: datetime | None
    is_agent: bool
    """Else it is known by its events alone: nothing can be wished of it, and nothing confirmed."""
    wanted: Mode | None
    revision: int
    wished_at: datetime | None
    session_since: datetime | None
    applied: int
    refused: int | None
    refused_at: datetime | None


def drift_of(held: Standing) -> Drift | None:
    """None: it is as wished. A state that nobody knows contradicts nothing."""
    if held.is_agent and held.applied < held.revision:
        if held.refused is not None and held.refused >= held.revision:
            return Drift(DriftKind.REFUSED, held.refused_at)
        times = [at for at in (held.wished_at, held.session_since) if at is not None]
        return Drift(DriftKind.BEHIND, max(times, default=None))
    if held.state is State.UNKNOWN:
        return None
    if held.wanted is not None and held.state.value != held.wanted.value:
        began = [at for at in (held.since, held.wished_at) if at is not None]
        return Drift(DriftKind.CONTRADICTS, max(began, default=None))
    if held.wanted is None and held.is_agent and held.revision and held.state in _FORCED:
        return Drift(DriftKind.CONTRADICTS, held.since)
    return None
