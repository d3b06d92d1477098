"""What the outbox says: steps of instances and, beside them, what is wished and applied, and snapshots where a rule
wants them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec
from django.db import connection, transaction

from breakers.sql import statements
from breakers.states import State
from breakers.wake import wake_evaluation

_SQL = statements("outbox")
_encode = msgspec.json.Encoder().encode


class OutboxStep(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One state change that moved an instance: what it was, what it is, and since when. `place` is its place among
    those of its commit, whichever breaker they are of."""

    place: int
    instance_id: int
    before: State
    before_natural: State | None
    state: State
    natural: State | None
    since: datetime | None


_decode = msgspec.json.Decoder(list[OutboxStep]).decode


def steps_as_text(steps: Sequence[OutboxStep]) -> str:
    """As a row of the outbox has them."""
    return _encode(steps).decode()


def steps_of(text: str) -> list[OutboxStep]:
    """The same read back."""
    return _decode(text)


def look_at(breakers: Sequence[int]) -> None:
    """Has these judged, though no state changed; to be called under their locks, in a transaction."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["look_at"], {"breakers": list(breakers)})
    transaction.on_commit(wake_evaluation)


def judge_samples(wanted: bool) -> None:
    """Whether each snapshot is to be judged, from the next commit on."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["judge_samples"], {"wanted": wanted})
