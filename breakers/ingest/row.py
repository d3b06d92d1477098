"""An event as a row of history."""

from __future__ import annotations

from datetime import datetime

import msgspec

from breakers.wire import Happened

Pair = tuple[int, int]
"""A breaker instance by the ids of its breaker and its instance."""
Key = tuple[int, str, datetime]
"""By which a repeat is known: service, id and time."""


class Row(msgspec.Struct, gc=False):
    """An event with the ids of its rows; its time may be that of the first with its id."""

    service_id: int
    pair: Pair
    event: Happened
    occurred_at: datetime
    line: bytes | None = None
    """As COPY reads it, where that was made ready."""

    @property
    def breaker_id(self) -> int:
        return self.pair[0]

    @property
    def instance_id(self) -> int:
        return self.pair[1]

    @property
    def key(self) -> Key:
        return self.service_id, self.event.event_id, self.occurred_at
