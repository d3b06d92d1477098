"""The partitions that history needs, made when first wanted: no event is refused for lack of one."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

from breakers.db import Connection
from breakers.wire import Happened


class Partitions:
    """What this process knows to be there."""

    def __init__(self) -> None:
        self._known: set[tuple[str, date]] = set()

    def forget(self) -> None:
        """One was not there after all (retention dropped it): look again."""
        self._known.clear()

    def are_there(self, events: Iterable[Happened]) -> bool:
        """Whether none would have to be made for `events`."""
        return self._wanted(events) <= self._known

    async def ensure(self, connection: Connection, events: Iterable[Happened]) -> None:
        """Makes the missing ones for `events`, and for what the server itself may say: of today, or of
        up to a week ago, where a hello tells since when it has been so."""
        today = datetime.now(UTC).date()
        wanted = {("event", _monday(day)) for day in (today, today - timedelta(days=7))}
        for parent, first in sorted((wanted | self._wanted(events)) - self._known):
            at = datetime(first.year, first.month, first.day, tzinfo=UTC)
            await connection.execute("SELECT ensure_partition(%s, %s)", [parent, at])
            self._known.add((parent, first))

    @staticmethod
    def _wanted(events: Iterable[Happened]) -> set[tuple[str, date]]:
        days = {(event.type == "snapshot", event.occurred_at.date()) for event in events}
        return {_partition_of(*which) for which in days}


@lru_cache(maxsize=64)
def _partition_of(is_snapshot: bool, day: date) -> tuple[str, date]:
    return ("snapshot", day) if is_snapshot else ("event", _monday(day))


def _monday(day: date) -> date:
    return day - timedelta(days=day.weekday())
