"""Overrides: a standing wish is made, replaced or released by somebody, with a reason; on one breaker or on many."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from breakers.access import Actor
from breakers.audit import OnBreaker, record_on_breakers
from breakers.desired.glass import tell_of_glass
from breakers.desired.permit import ORDINARY, Permit
from breakers.desired.revise import Held, hold, revise_all
from breakers.errors import NotFound
from breakers.models import Breaker, Override, PlannedOverride
from breakers.states import Mode


@dataclass(frozen=True, kw_only=True, slots=True)
class OverrideWish:
    """What somebody wants. `instances` None: all, and those to come; `starts_at` None: now; `expires_at` None:
    until released. `lasts` is there where the end was said as a span, which counts from the start."""

    mode: Mode
    reason: str
    expires_at: datetime | None
    instances: Sequence[str] | None = None
    excepted: Sequence[str] = ()
    starts_at: datetime | None = None
    lasts: timedelta | None = None

    def taking_effect(self, now: datetime) -> OverrideWish:
        """The same, some time after it was said."""
        if self.lasts is None:
            return self
        return replace(self, expires_at=(self.starts_at or now) + self.lasts)

    def includes(self, instance: str) -> bool:
        """Whether its scope holds the instance of this name."""
        return (
            self.instances is None or instance in self.instances
        ) and instance not in self.excepted

    def columns(self, by: Actor) -> dict[str, Any]:
        """The fields of `Forced`, with `by` as the author."""
        return {
            "mode": self.mode,
            "reason": self.reason,
            "instances": None if self.instances is None else list(self.instances),
            "excepted": list(self.excepted),
            "expires_at": self.expires_at,
            "by_kind": by.kind,
            "by_id": by.id,
            "by_name": by.name,
        }


def override_breaker(
    breaker: Breaker,
    *,
    wish: OverrideWish,
    by: Actor,
    now: datetime,
    expected: Collection[int] | None = None,
    permit: Permit = ORDINARY,
) -> Override:
    """The override that stands from now on; one that stood is replaced. `expected` are the revisions at which it
    may be made (None: any). Raises RevisionConflict."""
    with transaction.atomic():
        held = hold(breaker.pk, expected=expected)
        made = overriding(held, wish, by=by, now=now, permit=permit)
        (override,) = stand([(held, made)], by=by, now=now)
    return override


def overriding(
    held: Held, wish: OverrideWish, *, by: Actor, now: datetime, permit: Permit = ORDINARY
) -> Override:
    """The row of a wish, for `stand` to write."""
    return Override(
        breaker=held.breaker, created_at=now, **wish.columns(by), **permit.columns(held.breaker.pk)
    )


def stand(
    made: Sequence[tuple[Held, Override]], *, by: Actor, now: datetime, action: str = "override"
) -> list[Override]:
    """Writes overrides of breakers that are held; those that stood are replaced. `by` did it, which is not the
    author where a planned one starts.

    Every override comes to stand here, be it of one breaker, of many, or planned. A guard that was broken for one
    stays broken for what replaces it, until nothing holds the breaker any more.
    """
    before = _end([held for held, _ in made], "replaced", now)
    revisions = revise_all([held for held, _ in made])
    for held, override in made:
        override.revision = revisions[held.breaker.pk]
        if override.broke is None and held.standing is not None:
            override.broke = held.standing.broke
    overrides = Override.objects.bulk_create([override for _, override in made])
    tell_of_glass([(held.standing, override) for held, override in made])
    record_on_breakers(
        by,
        action,
        [
            OnBreaker(held.breaker, one.reason, before.get(held.breaker.pk), told(one))
            for held, one in made
        ],
    )
    return overrides


def release_breaker(
    breaker: Breaker,
    *,
    reason: str,
    by: Actor,
    now: datetime,
    expected: Collection[int] | None = None,
) -> int:
    """Ends the standing override; the new revision. Raises NotFound where none stands, RevisionConflict where the
    revision is none of the expected."""
    with transaction.atomic():
        held = hold(breaker.pk, expected=expected)
        if held.standing is None:
            raise NotFound(
                "No override stands on this breaker."
                if held.planned is None
                else "No override stands on this breaker yet. To cancel the planned one, say so: `planned`."
            )
        return release([held], reason=reason, by=by, now=now)[breaker.pk]


def release(held: Sequence[Held], *, reason: str, by: Actor, now: datetime) -> dict[int, int]:
    """Ends what stands on breakers that are held; the new revision of each, by the breaker's id."""
    before = _end(held, "released", now)
    tell_of_glass([(one.standing, None) for one in held])
    revisions = revise_all(held)
    record_on_breakers(
        by,
        "release",
        [OnBreaker(one.breaker, reason, before.get(one.breaker.pk), None) for one in held],
    )
    return revisions


def _end(held: Sequence[Held], end: str, now: datetime) -> Mapping[int, dict[str, Any]]:
    """Ends what stands; what it was, for the audit log, by the breaker's id."""
    standing = [one.standing for one in held if one.standing is not None]
    Override.objects.filter(pk__in=[one.pk for one in standing]).update(ended_at=now, end=end)
    return {one.breaker_id: told(one) for one in standing}


def told(override: Override | PlannedOverride) -> dict[str, Any]:
    """An override for the audit log; the last three are there only where there is such a thing."""
    said = {
        "mode": override.mode,
        "revision": override.revision,
        "reason": override.reason,
        "by": override.by_name,
        "instances": override.instances,
        "except": override.excepted,
        "expires_at": override.expires_at.isoformat() if override.expires_at else None,
    }
    if isinstance(override, PlannedOverride):
        said["starts_at"] = override.starts_at.isoformat()
    beyond = {"broke": override.broke, "approved_by": override.approved_by}
    return said | {name: value for name, value in beyond.items() if value}
