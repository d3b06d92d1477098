"""Overrides: a standing wish is made, replaced or released by somebody, with a reason."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from breakers.access import Actor
from breakers.audit import record_on_breaker
from breakers.desired.revise import hold, revise
from breakers.errors import NotFound
from breakers.models import Breaker, Override
from breakers.states import Mode


@dataclass(frozen=True, kw_only=True, slots=True)
class OverrideWish:
    """What somebody wants. `instances` None: all, and those to come; `expires_at` None: until released."""

    mode: Mode
    reason: str
    expires_at: datetime | None
    instances: Sequence[str] | None = None
    excepted: Sequence[str] = ()


def override_breaker(
    breaker: Breaker,
    *,
    wish: OverrideWish,
    by: Actor,
    now: datetime,
    expected: Collection[int] | None = None,
) -> Override:
    """The override that stands from now on; one that stood is replaced. `expected` are the revisions at which it
    may be made (None: any). Raises RevisionConflict."""
    with transaction.atomic():
        held = hold(breaker.pk, expected=expected)
        before = _end(held.standing, "replaced", now)
        override = Override.objects.create(
            breaker=held.breaker,
            revision=revise(held),
            mode=wish.mode,
            reason=wish.reason,
            instances=None if wish.instances is None else list(wish.instances),
            excepted=list(wish.excepted),
            created_at=now,
            expires_at=wish.expires_at,
            by_kind=by.kind,
            by_id=by.id,
            by_name=by.name,
        )
        record_on_breaker(
            by, "override", held.breaker, reason=wish.reason, before=before, after=told(override)
        )
    return override


def release_breaker(breaker: Breaker, *, reason: str, by: Actor, now: datetime) -> int:
    """Ends the standing override; the new revision. Raises NotFound where none stands."""
    with transaction.atomic():
        held = hold(breaker.pk)
        if held.standing is None:
            raise NotFound("No override stands on this breaker.")
        before = _end(held.standing, "released", now)
        revision = revise(held)
        record_on_breaker(by, "release", held.breaker, reason=reason, before=before, after=None)
    return revision


def _end(standing: Override | None, end: str, now: datetime) -> dict[str, Any] | None:
    if standing is None:
        return None
    before = told(standing)
    standing.ended_at, standing.end = now, end
    standing.save(update_fields=["ended_at", "end"])
    return before


def told(override: Override) -> dict[str, Any]:
    """An override for the audit log."""
    return {
        "mode": override.mode,
        "revision": override.revision,
        "reason": override.reason,
        "by": override.by_name,
        "instances": override.instances,
        "except": override.excepted,
        "expires_at": override.expires_at.isoformat() if override.expires_at else None,
    }
