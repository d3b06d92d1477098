"""What the worker does each second, and when it is woken. Tasks only wake: the work is rows."""

from __future__ import annotations

from celery import shared_task

from alerts.couriers import couriers
from alerts.due import sweep
from alerts.evaluate import evaluate_pending
from alerts.foresight import foresee_all
from alerts.pace import Pace
from alerts.wake import wake_delivery
from breakers.clock import database_now


def _look() -> None:
    evaluate_pending()
    if sweep(database_now()):
        wake_delivery()


_evaluation = Pace(_look)


@shared_task(name="alerts.tasks.evaluate_due", ignore_result=True)
def evaluate_due() -> None:
    """Judges what was committed, then what has come due; returns at once if another task is at it."""
    _evaluation.run()


@shared_task(name="alerts.tasks.deliver_due", ignore_result=True)
def deliver_due() -> None:
    """Sends what is due; returns at once if another task is at it."""
    couriers.run()


@shared_task(name="alerts.tasks.foresee", ignore_result=True)
def foresee() -> None:
    """Says of channels what would keep them from sending."""
    foresee_all()
