"""A worker of alerts in a process of its own, for tests that kill it: `python -m tests.support.alert_worker evaluate`.

It runs on the test's database and prints `ready` before it begins.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def start(job: str) -> subprocess.Popen[str]:
    """Begins the job (`evaluate` or `deliver`) on this worker's database."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.support.alert_worker", job],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "dashboard.settings"},
        stdout=subprocess.PIPE,
        text=True,
    )


def run(job: str) -> None:
    """The whole job in a process; raises if it fails."""
    worker = start(job)
    worker.communicate(timeout=60)
    assert worker.returncode == 0


def kill(worker: subprocess.Popen[str]) -> None:
    worker.send_signal(signal.SIGKILL)
    worker.communicate(timeout=30)


def main() -> None:
    import django

    django.setup()
    from alerts.couriers import couriers
    from alerts.evaluate import evaluate_pending

    print("ready", flush=True)
    if sys.argv[1] == "evaluate":
        evaluate_pending(budget_s=30)
    else:
        couriers.run(budget_s=20)


if __name__ == "__main__":
    main()
