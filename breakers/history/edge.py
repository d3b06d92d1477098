"""Where history begins: what lay before has been dropped, and left checkpoints."""

from __future__ import annotations

from datetime import datetime

from django.db import connection

from breakers.sql import statements

_SQL = statements("history")


def history_begins() -> datetime | None:
    """None while nothing was dropped."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["edge"])
        [(edge,)] = cursor.fetchall()
    return edge  # type: ignore[no-any-return]
