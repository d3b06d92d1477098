"""What enters the outbox beside state changes: what is wished and applied, and snapshots where a rule wants them."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import connection, transaction

from breakers.sql import statements
from breakers.wake import wake_evaluation

_SQL = statements("outbox")


def look_at(breakers: Sequence[int]) -> None:
    """Has these judged, though no state changed; to be called under their locks, in a transaction."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["look_at"], {"breakers": list(breakers)})
    transaction.on_commit(wake_evaluation)


def judge_samples(wanted: bool) -> None:
    """Whether each snapshot is to be judged, from the next commit on."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["judge_samples"], {"wanted": wanted})
