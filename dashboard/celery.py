"""The Celery application: queues, limits and the beat table. Due work is rows in PostgreSQL; Redis only wakes."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging
from kombu import Exchange, Queue

from dashboard.lanes import LANES
from dashboard.signs import KEY_PREFIX
from dashboard.steps import SignOfWorker

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dashboard.settings")

app = Celery("panelboard", task_cls="dashboard.lanes:LaneTask")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.update(
    # Each with an exchange of its own: on a shared one, a message of one would go to both.
    task_queues=[Queue(name, Exchange(name, type="direct"), routing_key=name) for name in LANES],
    # Whatever is new holds up neither rules nor messages.
    task_default_queue="upkeep",
    task_routes={
        "alerts.tasks.evaluate*": {"queue": "evaluate"},
        "alerts.tasks.deliver*": {"queue": "deliver"},
    },
    task_ignore_result=True,
    task_serializer="json",
    accept_content=["json"],
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_pool_acquire_timeout=2,
    broker_transport_options={
        # Far above what a task may take, so that none is delivered a second time while it runs.
        "visibility_timeout": 1800,
        "socket_timeout": 10,
        "socket_connect_timeout": 3,
        "socket_keepalive": True,
        "health_check_interval": 25,
        "global_keyprefix": KEY_PREFIX,
    },
    task_publish_retry_policy={
        "max_retries": 2,
        "interval_start": 0,
        "interval_step": 0.2,
        "interval_max": 0.5,
    },
    worker_hijack_root_logger=False,
    worker_redirect_stdouts=False,
    worker_send_task_events=False,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    timezone="UTC",
    beat_scheduler="dashboard.scheduler:TickScheduler",
    beat_max_loop_interval=1,
    beat_schedule={
        # A tick that was not taken before the next few has nothing to say: it expires.
        "evaluate what is due": {
            "task": "alerts.tasks.evaluate_due",
            "schedule": 1.0,
            "options": {"expires": 5},
        },
        "deliver what is due": {
            "task": "alerts.tasks.deliver_due",
            "schedule": 1.0,
            "options": {"expires": 5},
        },
        "foresee what would not be sent": {
            "task": "alerts.tasks.foresee",
            "schedule": 60.0,
            "options": {"expires": 50},
        },
        "sum up metrics": {
            "task": "breakers.tasks.sum_up_metrics",
            "schedule": 60.0,
            "options": {"expires": 50},
        },
        "maintain history": {
            "task": "breakers.tasks.maintain",
            "schedule": 3600.0,
            "options": {"expires": 1800},
        },
    },
)
app.steps["consumer"].add(SignOfWorker)
app.autodiscover_tasks()


@setup_logging.connect
def _leave_logging_alone(**_: Any) -> None:
    """`dashboard.logs` has set it up; a receiver here keeps Celery from doing so again."""
