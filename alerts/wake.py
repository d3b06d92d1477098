"""Telling the deliverer that there is work: a lost wake costs a second, for the tick finds what it left."""

from __future__ import annotations

import threading

import structlog
from celery import current_app

DELIVER = "alerts.tasks.deliver_due"
_log = structlog.get_logger(__name__)
_wanted = threading.Event()
_starting = threading.Lock()
_thread: threading.Thread | None = None


def wake_delivery() -> None:
    """Returns at once; one message, sent in the background, stands for all that waits."""
    global _thread
    _wanted.set()
    if _thread is None or not _thread.is_alive():
        with _starting:
            if _thread is None or not _thread.is_alive():
                _thread = threading.Thread(target=_send, name="wake-delivery", daemon=True)
                _thread.start()


def _send() -> None:
    while True:
        _wanted.wait()
        _wanted.clear()
        try:
            current_app.send_task(DELIVER, expires=5, retry=False, ignore_result=True)
        except Exception as problem:  # Redis is away; the tick will do
            _log.info("wake not sent", error=type(problem).__name__)
