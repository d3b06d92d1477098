"""Overrides of many breakers at once: what a match would touch, and touching just that, all or nothing."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import msgspec
from django.db import transaction

from breakers.access import Actor, breakers_for
from breakers.desired.override import OverrideWish, overriding, release, stand
from breakers.desired.permit import ORDINARY, Permit
from breakers.desired.plan import plan
from breakers.desired.revise import Held, hold_all
from breakers.errors import FieldError, Invalid, NotFound, SetChanged
from breakers.live.board import board, rows_of
from breakers.live.match import Match
from breakers.models import BreakerInstance, Override, PlannedOverride
from breakers.wire import OverrideSummary, Summary

BREAKERS_MOST = 1_000
INSTANCES_MOST = 50_000
"""Figures in docs/decisions/0012: at these bounds the locks are held for half a second of CPU."""


class Touched(msgspec.Struct, frozen=True, kw_only=True):
    """A breaker that a call touches, as it was just before."""

    id: str
    environment: str
    service: str
    breaker: str
    target: str | None
    state: str
    revision: int
    override: OverrideSummary | None
    """What stands now, and would be replaced or released."""
    planned: datetime | None
    """When what waits was to begin, where another plan would replace it."""
    instances: list[str]
    """Those within the scope that are not retired, by name."""
    unreachable: list[str]
    """Those of them that are known by events alone and cannot obey, and the names in the wish's `instances` that no
    instance of any breaker touched bears, but for retired ones."""


@dataclass(frozen=True, slots=True)
class Reach:
    """All that a call touches, by the breaker's id."""

    breakers: Sequence[Touched]

    @property
    def digest(self) -> str:
        """Differs where a breaker, an instance or an override that would be replaced does."""
        said = [
            (
                one.id,
                one.instances,
                one.override and (one.override.mode, one.override.since),
                one.planned,
            )
            for one in self.breakers
        ]
        return hashlib.sha256(msgspec.json.encode(said)).hexdigest()[:32]


def matching(match: Match, *, by: Actor) -> list[int]:
    """The breakers that an override of the match is about, within the actor's limits. Raises Invalid beyond the
    bound."""
    return _ids(board(by, match, limit=BREAKERS_MOST + 1))


def standing(match: Match, *, by: Actor) -> list[int]:
    """Those of the match on which an override stands. Raises Invalid beyond the bound."""
    held = Override.objects.filter(ended_at=None, breaker__in=breakers_for(by))
    ids = list(held.values_list("breaker_id", flat=True))
    return _ids(board(by, match, ids=ids, limit=BREAKERS_MOST + 1))


def reach_of(
    breaker_ids: Sequence[int], match: Match, *, by: Actor, wish: OverrideWish | None = None
) -> Reach:
    """Those of them that match now, with what a wish (or a release) would touch of them: with instances named,
    only breakers that have one of them. Raises Invalid beyond the bound."""
    return Reach([one.touched for one in _look(breaker_ids, match, by, wish).values()])


def override_many(
    breaker_ids: Sequence[int],
    match: Match,
    *,
    wish: OverrideWish,
    by: Actor,
    now: datetime,
    digest: str | None = None,
    permit: Permit = ORDINARY,
) -> tuple[Reach, Sequence[Override | PlannedOverride]]:
    """Overrides those of the breakers that match under the locks, or none: what was touched, and the overrides in
    the same order.

    Raises SetChanged where a digest is given and the set is another by now, NotFound where nothing matches,
    Invalid beyond the bound.
    """
    with transaction.atomic():
        before = _look(breaker_ids, match, by, wish)
        held = hold_all(breaker_ids)
        reach = _reach_under_locks(before, held, match, by, wish)
        held = _kept(held, reach, digest)
        if wish.starts_at is not None:
            return reach, plan(held, wish=wish, by=by, now=now, permit=permit)
        made = [(one, overriding(one, wish, by=by, now=now, permit=permit)) for one in held]
        return reach, stand(made, by=by, now=now)


def release_many(
    breaker_ids: Sequence[int],
    match: Match,
    *,
    reason: str,
    by: Actor,
    now: datetime,
    digest: str | None = None,
) -> tuple[Reach, dict[int, int]]:
    """Releases those of the breakers that match and are overridden under the locks, or none: what was touched, and
    the new revision of each. Raises as `override_many`."""
    with transaction.atomic():
        before = _look(breaker_ids, match, by)
        held = [one for one in hold_all(breaker_ids) if one.standing is not None]
        reach = _reach_under_locks(before, held, match, by)
        return reach, release(_kept(held, reach, digest), reason=reason, by=by, now=now)


class _Seen(NamedTuple):
    """What would be touched of a breaker, and the change number under which it was read."""

    change: int
    touched: Touched


def _look(
    breaker_ids: Sequence[int], match: Match, by: Actor, wish: OverrideWish | None = None
) -> dict[int, _Seen]:
    rows = rows_of(by, match, ids=breaker_ids) if breaker_ids else []
    changes = {row.id: row.change for row in rows}
    touched = _touched([row.summary for row in rows], wish)
    return {id: _Seen(changes[id], one) for one in touched for id in [int(one.id)]}


def _reach_under_locks(
    before: Mapping[int, _Seen],
    held: Sequence[Held],
    match: Match,
    by: Actor,
    wish: OverrideWish | None = None,
) -> Reach:
    """What was seen before the locks, and what changed until we had them read again: all of it would hold up the
    writers of events for the time that it takes. What stopped matching is not touched."""
    changed = [
        one.breaker.pk
        for one in held
        if one.breaker.pk not in before or before[one.breaker.pk].change != one.breaker.change
    ]
    seen = {**before, **dict.fromkeys(changed), **_look(changed, match, by, wish)}
    return Reach([one.touched for each in held if (one := seen.get(each.breaker.pk))])


def _kept(held: Sequence[Held], reach: Reach, digest: str | None) -> list[Held]:
    """Of those held, what is touched. Raises SetChanged, NotFound."""
    if digest is not None and digest != reach.digest:
        raise SetChanged("What this would touch has changed since: look at it again.")
    if not reach.breakers:
        raise NotFound("No breaker matches.")
    touched = {int(one.id) for one in reach.breakers}
    return [one for one in held if one.breaker.pk in touched]


def _ids(found: Sequence[Summary]) -> list[int]:
    if len(found) > BREAKERS_MOST:
        raise Invalid([FieldError(("match",), f"matches more than {BREAKERS_MOST:,} breakers")])
    return [int(one.id) for one in found]


def _touched(found: Sequence[Summary], wish: OverrideWish | None) -> Sequence[Touched]:
    names: dict[int, list[str]] = defaultdict(list)
    deaf: dict[int, list[str]] = defaultdict(list)
    rows = (
        BreakerInstance.objects.there()
        .filter(breaker__in=[int(one.id) for one in found])
        .order_by("breaker_id", "instance__name")
        .values_list("breaker_id", "instance__name", "instance__connected")
    )[: INSTANCES_MOST + 1]
    if len(rows) > INSTANCES_MOST:
        raise Invalid([FieldError(("match",), f"matches more than {INSTANCES_MOST:,} instances")])
    for breaker, name, connected in rows:
        if wish is None or wish.includes(name):
            names[breaker].append(name)
            if connected is None:
                deaf[breaker].append(name)
    # Not what another of these breakers bears: a name is looked for among all that the call is about.
    borne = {name for mine in names.values() for name in mine}
    nobodys = sorted(set((wish and wish.instances) or ()) - borne)
    kept = [one for one in found if wish is None or wish.instances is None or names[int(one.id)]]
    if len(nobodys) * len(kept) > INSTANCES_MOST:
        raise Invalid([FieldError(("instances",), f"unknown: {', '.join(nobodys[:10])} and more")])
    plans: dict[int, datetime] = {}
    if wish is not None and wish.starts_at is not None:
        waiting = PlannedOverride.objects.filter(
            breaker__in=[int(one.id) for one in found], ended_at=None
        )
        plans = dict(waiting.values_list("breaker_id", "starts_at"))
    return [
        Touched(
            id=one.id,
            environment=one.environment,
            service=one.service,
            breaker=one.breaker,
            target=one.target,
            state=one.state,
            revision=one.revision,
            override=one.override,
            planned=plans.get(int(one.id)),
            instances=names[int(one.id)],
            unreachable=[*deaf[int(one.id)], *nobodys],
        )
        for one in kept
    ]
