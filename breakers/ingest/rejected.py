"""Which events of a request or a frame were refused, and why."""

from __future__ import annotations

from collections.abc import Sequence

from breakers.errors import FieldError

_TOLD_MAX = 1000


class Rejected(dict[int, tuple[FieldError, ...]]):
    """Every reason by the event's index; beyond a thousand in all, of each event the first alone, for an answer or an
    ack of them is to fit into a frame."""

    _told = 0

    def refuse(self, index: int, errors: Sequence[FieldError]) -> None:
        told = tuple(errors if self._told + len(errors) <= _TOLD_MAX else errors[:1])
        self._told += len(told)
        self[index] = told
