"""Beat's schedule: in memory, with a sign of life, and without a backlog while no worker runs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import redis
from celery.beat import ScheduleEntry, Scheduler
from django.conf import settings

from dashboard.lanes import LANES
from dashboard.signs import EVERY_S, KEY_PREFIX, Signs

BACKLOG_MAX = 1_000
"""Wakes that may wait in a queue. Each says only "look at the rows", so that all but a few can go."""
BACKLOG_KEPT = 50
_LONGER_THAN_ANY = timedelta(days=1)
"""Of the intervals in the beat table."""


class TickScheduler(Scheduler):
    """All entries are short intervals, so that nothing needs remembering between runs."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._signs = Signs("beat", settings.REDIS_URL)
        super().__init__(*args, **kwargs)

    def setup_schedule(self) -> None:
        """Everything is due at the start: nothing remembers when it ran last, and an hour may not come."""
        super().setup_schedule()
        self._have_all_due()

    def _have_all_due(self) -> None:
        for entry in self.schedule.values():
            entry.last_run_at = self.app.now() - _LONGER_THAN_ANY

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Where the clock was set back, nothing waits until it is as late as before."""
        now = self.app.now()
        if any(entry.last_run_at and entry.last_run_at > now for entry in self.schedule.values()):
            self._have_all_due()
            self._heap = None  # made anew by Celery from the schedule
        delay: float = super().tick(*args, **kwargs)
        self._signs.give()
        return min(delay, EVERY_S)

    def apply_async(
        self, entry: ScheduleEntry, producer: Any = None, advance: bool = True, **kwargs: Any
    ) -> Any:
        self._forget_old_wakes()
        return super().apply_async(entry, producer=producer, advance=advance, **kwargs)

    def _forget_old_wakes(self) -> None:
        try:
            for queue in LANES:
                key = f"{KEY_PREFIX}{queue}"
                if int(self._signs.client.llen(key)) > BACKLOG_MAX:
                    self._signs.client.ltrim(key, 0, BACKLOG_KEPT - 1)
        except redis.RedisError:
            return  # the sign of life has said it
