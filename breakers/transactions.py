"""Transactions of those who lock much, in the way of those who lock little and often."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from django.db import OperationalError, connection, transaction

_TRIES = 3
_DEADLOCK = "40P01"
Done = TypeVar("Done")


def unless_deadlocked(act: Callable[[], Done]) -> Done:
    """Does it in a transaction; again where somebody who judges or writes stood in the way: they lock in another
    order."""
    for attempt in range(1, _TRIES + 1):
        try:
            with transaction.atomic():
                return act()
        except OperationalError as problem:
            if attempt == _TRIES or getattr(problem.__cause__, "sqlstate", "") != _DEADLOCK:
                raise
    raise AssertionError("unreachable")


def by_keys_alone() -> None:
    """From here to its end the transaction finds its rows by indexes.

    Of some hundred out of ten thousand PostgreSQL would rather read the whole table, where the rows that wait and the
    members of an outage are: then what waits longest costs the most.
    """
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
