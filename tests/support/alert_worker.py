"""A worker of alerts in a process of its own, on the test's database, for tests that kill it.

Each is forked from a server in which the program is imported already, and nothing else: of its 1.5 s, that is nearly
all. What runs in one is seen by no other.
"""

from __future__ import annotations

import signal
from multiprocessing import get_context
from multiprocessing.process import BaseProcess

_context = get_context("forkserver")
_context.set_forkserver_preload(["tests.support.alert_program"])


def start(job: str) -> BaseProcess:
    """Begins the job (`evaluate` or `deliver`) on this worker's database."""
    worker = _context.Process(target=_work, args=(job,), daemon=True)
    worker.start()
    return worker


def finish(worker: BaseProcess) -> None:
    """Waits for its end; raises if it failed."""
    worker.join(60)
    assert worker.exitcode == 0, worker.exitcode


def run(job: str) -> None:
    """The whole job in a process; raises if it fails."""
    finish(start(job))


def kill(worker: BaseProcess) -> None:
    worker.kill()
    worker.join(30)
    assert worker.exitcode == -signal.SIGKILL, worker.exitcode


def _work(job: str) -> None:
    from tests.support.alert_program import couriers, evaluate_pending

    if job == "evaluate":
        evaluate_pending(budget_s=30)
    else:
        couriers.run(budget_s=20)
