"""How often Python looks for garbage, in every process of the program; of the standard library alone."""

from __future__ import annotations

import asyncio
import gc
import time
from typing import NoReturn

_EVERY_S = 60.0
_SHARE = 1000
"""A whole collection, during which nothing else goes on, takes at most one part in so many of the time."""


def collect_rarely() -> None:
    """Modules stay and events make no cycles: at the usual thresholds the collector took a fifth of every start,
    and of the time of a commit. Called where a process begins, not on import, so that tests keep the usual ones."""
    gc.set_threshold(50_000, 20, 50)


async def collect_now_and_then() -> NoReturn:
    """Sockets leave cycles behind that have outlived the young generations; by the thresholds they would be looked
    for after millions of objects, and a web process grew by some 8 kB with each socket that came and went."""
    wait_s = _EVERY_S
    while True:
        await asyncio.sleep(wait_s)
        began = time.perf_counter()
        gc.collect()
        wait_s = max(_EVERY_S, _SHARE * (time.perf_counter() - began))
