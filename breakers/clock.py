"""The clock on which all processes agree."""

from __future__ import annotations

from datetime import datetime

from django.db import connection


def database_now() -> datetime:
    """PostgreSQL's time, not that of the transaction's beginning."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        row = cursor.fetchone()
    assert row is not None
    now: datetime = row[0]
    return now
