"""How many frames that carry next to nothing one socket may send: each costs as much as a frame of a thousand bytes."""

from __future__ import annotations

from dataclasses import dataclass

FRAMES_PER_SECOND = 200
FRAMES_AT_ONCE = 1000


@dataclass(slots=True)
class Flood:
    """Of one socket. `now` is monotonic, in seconds."""

    _left: float = FRAMES_AT_ONCE
    _at: float = 0.0

    def is_more(self, frames: int, *, now: float) -> bool:
        """Whether these are more than it may send; they count in any case."""
        filled = min(FRAMES_AT_ONCE, self._left + (now - self._at) * FRAMES_PER_SECOND)
        self._left, self._at = filled - frames, now
        return self._left < 0
