"""The state that a history leads to, by its definition: what the program computes step by step, or in SQL."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import takewhile

from breakers.states import CALM, Change, Held


def derive(highest_first: Iterable[Change], checkpoint: Held | None = None) -> Held | None:
    """The state that a history leads to; reads no further back than the run, or the outage, at its end.

    The checkpoint stands for all that ranks below it: what was dropped, and what came too late to be told apart.
    """
    changes = iter(highest_first)
    if checkpoint is not None:
        edge = checkpoint.last.rank
        changes = takewhile(lambda change: change.rank > edge, changes)
    last = next(changes, None)
    if last is None:
        return checkpoint
    since = outage = last.occurred_at
    calm, unbroken = last.to in CALM, True
    for change in changes:
        unbroken = unbroken and change.to is last.to
        if unbroken:
            since = change.occurred_at
        if (calm and not unbroken) or (not calm and change.to in CALM):
            break
        outage = change.occurred_at
    else:
        if checkpoint is not None:
            since = checkpoint.since if unbroken and checkpoint.state is last.to else since
            outage = checkpoint.not_closed_since or outage
    return Held(last, since, None if calm else outage)
