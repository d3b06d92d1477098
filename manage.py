#!/usr/bin/env python
"""Panelboard's command line."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dashboard.settings")
    try:
        if sys.argv[1:2] == ["up"]:
            from dashboard.supervisor.cli import main as up

            sys.exit(up(sys.argv[2:]))
        from django.core.management import execute_from_command_line
    except ModuleNotFoundError as missing:
        sys.exit(
            f"{missing.name} is not installed here: run `make setup`, then `.venv/bin/python manage.py …`."
        )
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
