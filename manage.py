#!/usr/bin/env python
"""Panelboard's command line."""

import os
import sys

from dashboard.garbage import collect_rarely


def main() -> None:
    collect_rarely()
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
        from dashboard.config import load

        config = load()
        if config.database_url is None:
            sys.exit(
                f"No panel runs on {config.data_dir}: start `manage.py up` first, or set DATABASE_URL."
            )
        sys.exit(f"The database cannot be used: {str(away).strip()}")


if __name__ == "__main__":
    main()
