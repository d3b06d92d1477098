"""How often Python looks for garbage, in every process of the program; of the standard library alone."""

from __future__ import annotations

import gc


def collect_rarely() -> None:
    """Modules stay and events make no cycles: at the usual thresholds the collector took a fifth of every start,
    and of the time of a commit. Called where a process begins, not on import, so that tests keep the usual ones."""
    gc.set_threshold(50_000, 20, 50)
