#!/usr/bin/env python
"""Panelboard's command line."""

import gc
import os
import sys


def main() -> None:
    # What is loaded stays, and to look through it for garbage over and over took a fifth of every start.
    gc.set_threshold(50_000, 20, 50)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dashboard.settings")
    try:
        if sys.argv[1:2] == ["up"]:
            from dashboard.supervisor.cli import main as up

            sys.exit(up(sys.argv[2:]))
        from django.core.management import execute_from_command_line
        from django.db import OperationalError
    except ModuleNotFoundError as missing:
        sys.exit(
            f"{missing.name} is not installed here: run `make setup`, then `.venv/bin/python manage.py …`."
        )
    try:
        execute_from_command_line(sys.argv)
    except OperationalError as away:
        sys.exit(f"The database cannot be used: {str(away).strip()}")


if __name__ == "__main__":
    main()
