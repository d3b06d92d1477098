"""Where history begins: what lay before has been dropped, and left checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from django.db import connection, transaction

from breakers.sql import statements

_SQL = statements("history")


@contextmanager
def kept_history() -> Iterator[datetime | None]:
    """Where history begins, and it does so until the block ends; None while nothing was dropped.

    A partition that is dropped is gone for all at once, and its checkpoints are there for later statements only.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(_SQL["keep_events"])
            cursor.execute(_SQL["edge"])
            [(edge,)] = cursor.fetchall()
        yield edge
