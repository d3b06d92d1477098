"""What Panelboard adds to a Celery worker: a sign of life, and an end for one that is stuck."""

from __future__ import annotations

import os
import time
from typing import Any

import structlog
from celery import bootsteps
from django.conf import settings

from dashboard.lanes import STUCK_S, lanes
from dashboard.signs import EVERY_S, Signs

_log = structlog.get_logger(__name__)


class SignOfWorker(bootsteps.StartStopStep):
    """Refreshed from the loop that takes tasks: a worker that takes none (hung, or without Redis) is missed."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._signs = Signs("worker", settings.REDIS_URL)
        self._timer: Any = None

    def start(self, consumer: Any) -> None:
        self._give()
        self._timer = consumer.timer.call_repeatedly(EVERY_S, self._give)

    def stop(self, consumer: Any) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give(self) -> None:
        oldest_s = lanes.oldest_s(time.monotonic())
        if oldest_s > STUCK_S:
            _log.error("a task is stuck, so the worker ends", seconds=round(oldest_s))
            os._exit(70)
        self._signs.give()
