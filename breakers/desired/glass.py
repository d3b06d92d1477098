"""Telling alerts of overrides that got past a guard: rows that wait to be judged, so that none is missed."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import transaction

from breakers.models import OutboxRow, Override
from breakers.wake import wake_evaluation


def tell_of_glass(changes: Iterable[tuple[Override | None, Override | None]]) -> None:
    """What stood and what stands, of breakers that are held, in the transaction that replaces the one by the other;
    says nothing where no guard was broken for either."""
    rows = [row for was, stands in changes if (row := _row(_broke(was), _broke(stands)))]
    if rows:
        OutboxRow.objects.bulk_create(rows)
        transaction.on_commit(wake_evaluation)


def _broke(override: Override | None) -> Override | None:
    return override if override is not None and override.broke else None


def _row(was: Override | None, stands: Override | None) -> OutboxRow | None:
    about = stands or was
    if about is None:
        return None
    return OutboxRow(
        breaker_id=about.breaker_id,
        before_override_id=was.pk if was else None,
        override_id=stands.pk if stands else None,
    )
