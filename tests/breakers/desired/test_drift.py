from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from breakers.desired.drift import Drift, DriftKind, Standing, drift_of
from breakers.states import Mode, State

T0 = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATER = T0 + timedelta(minutes=5)


def standing(**said: Any) -> Standing:
    """An agent that has applied an override of revision 3, unless told otherwise."""
    told: dict[str, Any] = {
        "state": State.FORCED_OPEN,
        "since": T0,
        "is_agent": True,
        "wanted": Mode.FORCED_OPEN,
        "revision": 3,
        "wished_at": T0,
        "session_since": T0,
        "applied": 3,
        "refused": None,
        "refused_at": None,
    }
    return Standing(**(told | said))


@pytest.mark.parametrize(
    ("said", "drift"),
    [
        ({}, None),
        ({"applied": 2}, Drift(DriftKind.BEHIND, T0)),
        ({"applied": 2, "session_since": LATER}, Drift(DriftKind.BEHIND, LATER)),
        (
            {"applied": 2, "refused": 3, "refused_at": LATER},
            Drift(DriftKind.REFUSED, LATER),
        ),
        # Refused once, and applied since: it is as wished.
        ({"refused": 2, "refused_at": T0}, None),
        # What it refused was another wish.
        ({"applied": 1, "refused": 2, "refused_at": T0}, Drift(DriftKind.BEHIND, T0)),
        ({"state": State.CLOSED, "since": LATER}, Drift(DriftKind.CONTRADICTS, LATER)),
        ({"state": State.UNKNOWN}, None),
        # Released, and confirmed, and still forced.
        ({"wanted": None}, Drift(DriftKind.CONTRADICTS, T0)),
        ({"wanted": None, "state": State.OPEN}, None),
        # Of one known by its events alone only its state can tell.
        ({"is_agent": False, "applied": 0}, None),
        (
            {"is_agent": False, "applied": 0, "state": State.CLOSED, "wished_at": LATER},
            Drift(DriftKind.CONTRADICTS, LATER),
        ),
        ({"is_agent": False, "applied": 0, "wanted": None}, None),
    ],
)
def test_what_differs_from_what_is_wished(said: dict[str, Any], drift: Drift | None) -> None:
    assert drift_of(standing(**said)) == drift
