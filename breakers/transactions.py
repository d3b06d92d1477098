"""Transactions of those who lock much, in the way of those who lock little and often."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from django.db import OperationalError, transaction

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
