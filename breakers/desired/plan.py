"""Planned overrides: they wait, are cancelled or replaced, and at their time they stand.

At its start a planned override replaces what stood when it was planned, and whatever a policy holds. An override
that a person or a key made after the planning is the newer decision: the planned one waits for it to end, and
stands for what is then left of its own time. Whose time has passed without it is missed, and recorded as such.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from enum import StrEnum

from django.db import connection, transaction

from breakers.access import Actor
from breakers.audit import OnBreaker, record_on_breakers
from breakers.clock import database_now
from breakers.desired.expire import SERVER
from breakers.desired.override import OverrideWish, stand, told
from breakers.desired.permit import ORDINARY, Permit
from breakers.desired.revise import Held, hold, hold_all, revise_all
from breakers.errors import NotFound
from breakers.models import Breaker, Forced, Override, PlannedOverride
from breakers.sql import statements

_SQL = statements("desired")
_AT_ONCE = 100
"""Starts in one transaction: what was planned for many breakers begins together, and no lock is held for long."""


class Due(StrEnum):
    """What is to become of a planned override now."""

    WAIT = "wait"
    START = "start"
    MISS = "miss"


def due(planned: PlannedOverride, standing: Override | None, now: datetime) -> Due:
    """Decides about one that waits. Pure."""
    if now < planned.starts_at:
        return Due.WAIT
    if planned.expires_at is not None and planned.expires_at <= now:
        return Due.MISS
    return Due.WAIT if is_newer(standing, planned) else Due.START


def is_newer(standing: Override | None, planned: PlannedOverride) -> bool:
    """Whether what stands was decided by somebody after the planning."""
    return standing is not None and standing.pk != planned.stood_id and standing.by_kind != "policy"


def plan_override(
    breaker: Breaker,
    *,
    wish: OverrideWish,
    by: Actor,
    now: datetime,
    expected: Collection[int] | None = None,
    permit: Permit = ORDINARY,
) -> PlannedOverride:
    """Lets the wish wait for its `starts_at`; one that waited is replaced. Raises RevisionConflict."""
    with transaction.atomic():
        held = hold(breaker.pk, expected=expected)
        (planned,) = plan([held], wish=wish, by=by, now=now, permit=permit)
    return planned


def plan(
    held: Sequence[Held],
    *,
    wish: OverrideWish,
    by: Actor,
    now: datetime,
    permit: Permit = ORDINARY,
) -> list[PlannedOverride]:
    """The same for breakers that are held."""
    assert wish.starts_at is not None
    _end(held, "replaced", now)
    revisions = revise_all(held)
    planned = PlannedOverride.objects.bulk_create(
        PlannedOverride(
            breaker=one.breaker,
            revision=revisions[one.breaker.pk],
            created_at=now,
            starts_at=wish.starts_at,
            stood=one.standing,
            **wish.columns(by),
            **permit.columns(one.breaker.pk),
        )
        for one in held
    )
    record_on_breakers(
        by,
        "plan_override",
        [
            OnBreaker(
                one.breaker, wish.reason, told(one.planned) if one.planned else None, told(row)
            )
            for one, row in zip(held, planned, strict=True)
        ],
    )
    return planned


def cancel_plan(
    breaker: Breaker,
    *,
    reason: str,
    by: Actor,
    now: datetime,
    expected: Collection[int] | None = None,
) -> int:
    """Takes a planned override back; the new revision. Raises NotFound where none waits, RevisionConflict."""
    with transaction.atomic():
        held = hold(breaker.pk, expected=expected)
        if held.planned is None:
            raise NotFound("No override is planned for this breaker.")
        _end([held], "cancelled", now)
        record_on_breakers(
            by, "cancel_override", [OnBreaker(held.breaker, reason, told(held.planned), None)]
        )
        return revise_all([held])[breaker.pk]


def start_due() -> int:
    """Starts, or records as missed, what has its time by the database's clock; how many."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["plans_due"])
        ids = [id for (id,) in cursor.fetchall()]
    return sum(_decide(ids[at : at + _AT_ONCE]) for at in range(0, len(ids), _AT_ONCE))


def _decide(breaker_ids: Sequence[int]) -> int:
    with transaction.atomic():
        held = hold_all(breaker_ids)
        now = database_now()
        # Cancelled, started by another process or held up while we waited for the lock: then it is none of these.
        decided = {
            one.breaker.pk: due(one.planned, one.standing, now)
            for one in held
            if one.planned is not None
        }
        starting = [one for one in held if decided.get(one.breaker.pk) is Due.START]
        missed = [one for one in held if decided.get(one.breaker.pk) is Due.MISS]
        if starting:
            _end(starting, "started", now)
            stand(
                [(one, _starting(one.planned, now)) for one in starting if one.planned],
                by=SERVER,
                now=now,
                action="start_override",
            )
        if missed:
            _end(missed, "missed", now)
            revise_all(missed)
            record_on_breakers(
                SERVER,
                "miss_override",
                [
                    OnBreaker(one.breaker, one.planned.reason, told(one.planned), None)
                    for one in missed
                    if one.planned
                ],
            )
    return len(starting) + len(missed)


def _starting(planned: PlannedOverride, now: datetime) -> Override:
    held_to = {field.name: getattr(planned, field.name) for field in Forced._meta.fields}
    return Override(breaker=planned.breaker, created_at=now, **held_to)


def _end(held: Sequence[Held], end: str, now: datetime) -> None:
    waiting = [one.planned.pk for one in held if one.planned is not None]
    PlannedOverride.objects.filter(pk__in=waiting).update(ended_at=now, end=end)
