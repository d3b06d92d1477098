"""Ids of events that come without one."""

from __future__ import annotations

import random
import time
import uuid

_LOWEST = "!"
"""Below whatever else an id is likely to begin with: of printable characters only the blank comes before."""
_RANDOM_BITS = 52


class Unnamed:
    """Ids that grow in the order of arrival: microseconds since 1970, then chance.

    Of changes at one time, the last in the order of ids stands, those without an id before those with one. So the last
    to come stands of those without, and theirs begin lower than those that callers make up do.
    """

    def __init__(self) -> None:
        self._last_us = 0

    def next(self) -> str:
        """The id of what comes now."""
        self._last_us = max(self._last_us + 1, time.time_ns() // 1000)
        return f"{_LOWEST}{self._last_us:013x}{random.getrandbits(_RANDOM_BITS):013x}"


def lowest_id() -> str:
    """Of what a hello tells: the change itself, which the agent may still have to send, comes after that by its id and
    says why."""
    return f"{_LOWEST}0000{uuid.uuid4().hex}"
