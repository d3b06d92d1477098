"""The Celery application: queues, limits and the beat table. Due work is rows in PostgreSQL; Redis only wakes."""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dashboard.settings")

app = Celery("panelboard")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.update(
    task_ignore_result=True,
    task_serializer="json",
    accept_content=["json"],
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    task_soft_time_limit=25,
    task_time_limit=40,
    broker_connection_retry_on_startup=True,
    broker_pool_acquire_timeout=2,
    # Above twice the hard limit, so that no running task is delivered a second time.
    broker_transport_options={
        "visibility_timeout": 300,
        "socket_timeout": 10,
        "socket_connect_timeout": 3,
        "socket_keepalive": True,
        "health_check_interval": 25,
        "global_keyprefix": "panelboard:",
    },
    task_publish_retry_policy={
        "max_retries": 2,
        "interval_start": 0,
        "interval_step": 0.2,
        "interval_max": 0.5,
    },
    worker_max_tasks_per_child=2000,
    worker_hijack_root_logger=False,
    worker_send_task_events=False,
    beat_scheduler="celery.beat:Scheduler",
    timezone="UTC",
)
app.autodiscover_tasks()
