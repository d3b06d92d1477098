"""What a worker of alerts runs, set up on import as in the program: not for the tests' own processes."""

from __future__ import annotations

import os

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "dashboard.settings"
django.setup()

from alerts.couriers import couriers  # noqa: E402 - models want the settings
from alerts.evaluate import evaluate_pending  # noqa: E402

__all__ = ["couriers", "evaluate_pending"]
