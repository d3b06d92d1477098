"""Telling the evaluator that there is work, by task name, from a thread: a lost wake costs a second.

One wake stands for all that waits, so that ten thousand commits do not make ten thousand messages.
"""

from __future__ import annotations

import threading
import time

import structlog
from celery import current_app

EVALUATE = "alerts.tasks.evaluate_due"
# The first wake goes at once. A message costs a millisecond here and three in the worker, and one stands for all
# that waits anyway; the evaluator rests as long after a pass.
_REST_S = 0.1
_log = structlog.get_logger(__name__)
_wanted = threading.Event()
_started = threading.Lock()
_thread: threading.Thread | None = None


def wake_evaluation() -> None:
    """Returns at once; the message is sent in the background, and losing it is no loss."""
    global _thread
    _wanted.set()
    if _thread is None or not _thread.is_alive():
        with _started:
            if _thread is None or not _thread.is_alive():
                _thread = threading.Thread(target=_send_wakes, name="wake", daemon=True)
                _thread.start()


def _send_wakes() -> None:
    while True:
        _wanted.wait()
        _wanted.clear()
        try:
            current_app.send_task(EVALUATE, expires=5, retry=False, ignore_result=True)
        except Exception as problem:
            _log.info("wake not sent", error=str(problem))
        time.sleep(_REST_S)
