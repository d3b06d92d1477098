"""How far an instance's clock is from the server's, from the times that its agent says something is sent.

A frame arrives later than it was sent, never earlier, so of several the one that took least tells most: the
least difference over a minute is the offset, and at most as much too late as that frame's way took. Frames that
waited in an outage differ by more and do not count.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime

WINDOW_S = 60.0
_LEAST_SAMPLES = 2
_SAMPLES_MAX = 120
_BACKLOG_S = 60.0


class ClockOffset:
    """Of one session. `at` is monotonic, in seconds."""

    def __init__(self, *, since: float) -> None:
        self._since = since
        self._samples: deque[tuple[float, float]] = deque(maxlen=_SAMPLES_MAX)
        self._says_when = False

    def sent(self, sent_at: datetime | None, *, now: datetime, at: float) -> None:
        """A frame that says when it was sent, or None where it does not."""
        if sent_at is not None:
            if not self._says_when:
                self._says_when = True
                self._samples.clear()
            self._samples.append((at, (now - sent_at).total_seconds()))

    def happened(self, newest: datetime | None, *, now: datetime, at: float) -> None:
        """The newest time in a frame of events. Only for agents that say it of no frame, and not in the first
        minute, in which they send what has piled up."""
        if newest is not None and not self._says_when and at - self._since > _BACKLOG_S:
            self._samples.append((at, (now - newest).total_seconds()))

    def forget(self) -> None:
        """What arrives now has waited for us."""
        self._samples.clear()

    def behind_s(self, *, at: float) -> float | None:
        """Seconds that its clock is behind ours, negative where it is ahead; None where too little was heard."""
        while self._samples and at - self._samples[0][0] > WINDOW_S:
            self._samples.popleft()
        if len(self._samples) < _LEAST_SAMPLES:
            return None
        return min(difference for _, difference in self._samples)
