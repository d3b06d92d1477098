"""What rules see of a breaker beside its states: what is wished of it, and of history what a kind asks for.

Read after the claim: it is therefore never older than the outbox rows that the claim deletes. What changes
later brings a row of its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import msgspec
from django.db import connection

from alerts.claim import UNWELL
from alerts.judging import Replay, Step
from alerts.rulebook import LoadedRule
from alerts.rules import Need, RuleKind
from alerts.verdicts import BreakerView, InstanceView, OverrideView, Sample

Pair = tuple[int, int]

_NATURAL = "CASE WHEN {0}.to_state = 'unknown' THEN 'unknown' ELSE coalesce({0}.natural_state, {0}.to_state) END"

_OVERRIDES = """
SELECT breaker_id, revision, mode, created_at, expires_at, instances, excepted, by_kind FROM override
WHERE breaker_id = ANY(%(breakers)s::bigint[]) AND ended_at IS NULL
"""
# While an override stands, `since` is that of the forced state: of what the library itself is, history knows.
_OUTAGES = f"""
SELECT a.breaker_id, a.instance_id,
       (SELECT min(e.occurred_at) FROM event e
        WHERE e.breaker_id = a.breaker_id AND e.instance_id = a.instance_id AND e.type = 'state_change'
          AND (other.until_at IS NULL OR e.occurred_at > other.until_at)) AS since,
       (SELECT min(e.occurred_at) FROM event e
        WHERE e.breaker_id = a.breaker_id AND e.instance_id = a.instance_id AND e.type = 'state_change'
          AND (calm.until_at IS NULL OR e.occurred_at > calm.until_at)) AS outage_since
FROM unnest(%(breakers)s::bigint[], %(instances)s::bigint[], %(naturals)s::text[]) AS a (breaker_id, instance_id, said)
CROSS JOIN LATERAL (
    SELECT max(p.occurred_at) AS until_at FROM event p
    WHERE p.breaker_id = a.breaker_id AND p.instance_id = a.instance_id AND p.type = 'state_change'
      AND {_NATURAL.format("p")} NOT IN ('open', 'half_open')
) calm
CROSS JOIN LATERAL (
    SELECT max(p.occurred_at) AS until_at FROM event p
    WHERE p.breaker_id = a.breaker_id AND p.instance_id = a.instance_id AND p.type = 'state_change'
      AND {_NATURAL.format("p")} <> a.said
) other
"""  # noqa: S608 - of constants alone
# A trip is an opening out of closed, by the order of times. An instance that comes back open has not tripped, nor
# has one that a hand opened.
_TRIPS = f"""
SELECT e.breaker_id, e.instance_id, e.occurred_at FROM event e
WHERE e.breaker_id = ANY(%(breakers)s) AND e.type = 'state_change' AND e.occurred_at > %(since)s
  AND {_NATURAL.format("e")} = 'open' AND e.cause NOT IN ('manual', 'override')
  AND coalesce((
      SELECT {_NATURAL.format("p")} FROM event p
      WHERE p.breaker_id = e.breaker_id AND p.instance_id = e.instance_id AND p.type = 'state_change'
        AND (p.occurred_at, p.event_id) < (e.occurred_at, e.event_id)
      ORDER BY p.occurred_at DESC, p.event_id DESC LIMIT 1), e.from_state, 'closed') IN ('closed', 'forced_closed')
ORDER BY 1, 2, 3
"""  # noqa: S608
_NEWEST_SAMPLES = """
SELECT breaker_id, instance_id, metrics_at, metrics FROM breaker_instance
WHERE breaker_id = ANY(%(breakers)s) AND metrics IS NOT NULL AND metrics_at > %(since)s
"""
_SAMPLES = """
SELECT breaker_id, instance_id, occurred_at, metrics FROM snapshot
WHERE breaker_id = ANY(%(breakers)s) AND occurred_at > %(since)s AND metrics IS NOT NULL
UNION ALL
SELECT breaker_id, instance_id, occurred_at, metrics FROM event
WHERE breaker_id = ANY(%(breakers)s) AND occurred_at > %(since)s AND metrics IS NOT NULL
ORDER BY 1, 2, 3
"""


def with_background(
    replays: Sequence[Replay], rules: Sequence[LoadedRule], *, now: datetime
) -> list[Replay]:
    """The replays with what the rules' kinds look at; the more is asked for, the more is read."""
    views = [replay.now for replay in replays]
    overrides = _overrides(views)
    begun = _begun(views)
    kinds = [rule.condition.kind for rule in rules]
    # Steps are in the order of time.
    earliest = min((replay.steps[0].at for replay in replays if replay.steps), default=now)
    trips = _trips(views, [one for one in kinds if Need.TRIPS in one.needs], since=earliest)
    samples = _samples(views, [one for one in kinds if Need.SAMPLES in one.needs], since=earliest)

    def seen(breaker: BreakerView, one: InstanceView, *, present: bool) -> InstanceView:
        pair = breaker.id, one.id
        more: dict[str, Any] = {}
        if pair in trips:
            more["trips"] = trips[pair]
        if pair in samples:
            more["samples"] = samples[pair]
        if present and pair in begun:
            since, outage = begun[pair]  # of history that was dropped nothing is known
            more["since"], more["outage_since"] = since or one.since, outage or one.since
        return msgspec.structs.replace(one, **more) if more else one

    def view(breaker: BreakerView, *, present: bool) -> BreakerView:
        return msgspec.structs.replace(
            breaker,
            override=overrides.get(breaker.id),
            instances=tuple(seen(breaker, one, present=present) for one in breaker.instances),
        )

    if not (overrides or begun or trips or samples):
        return list(replays)
    return [
        Replay(
            view(one.before, present=False),
            tuple(_with_seen(step, partial(seen, one.now, present=False)) for step in one.steps),
            view(one.now, present=True),
        )
        for one in replays
    ]


def with_trips(replay: Replay, kind: RuleKind, *, since: datetime) -> Replay:
    """A replay of what is long past, with the trips that the kind looks at from `since` on."""
    trips = _trips([replay.now], [kind], since=since)

    def seen(one: InstanceView) -> InstanceView:
        found = trips.get((replay.now.id, one.id), ())
        return msgspec.structs.replace(one, trips=found) if found else one

    def view(breaker: BreakerView) -> BreakerView:
        return msgspec.structs.replace(breaker, instances=tuple(map(seen, breaker.instances)))

    steps = tuple(_with_seen(step, seen) for step in replay.steps)
    return Replay(view(replay.before), steps, view(replay.now))


def _with_seen(step: Step, seen: Callable[[InstanceView], InstanceView]) -> Step:
    return (
        step
        if step.instance is None
        else msgspec.structs.replace(step, instance=seen(step.instance))
    )


def _overrides(views: Iterable[BreakerView]) -> dict[int, OverrideView]:
    rows = _fetch(_OVERRIDES, breakers=_ids(views))
    return {
        breaker: OverrideView(
            revision=revision,
            mode=mode,
            created_at=created_at,
            expires_at=expires_at,
            instances=None if instances is None else tuple(instances),
            excepted=tuple(excepted),
            by_policy=by_kind == "policy",
        )
        for breaker, revision, mode, created_at, expires_at, instances, excepted, by_kind in rows
    }


def _begun(
    views: Iterable[BreakerView],
) -> dict[Pair, tuple[datetime | None, datetime | None]]:
    """Since when those are what they are that an override covers, and since when they have been in an outage."""
    covered = [
        (view.id, one.id, one.natural.value)
        for view in views
        for one in view.instances
        if one.natural in UNWELL and one.natural is not one.state
    ]
    if not covered:
        return {}
    breakers, instances, naturals = map(list, zip(*covered, strict=True))
    rows = _fetch(_OUTAGES, breakers=breakers, instances=instances, naturals=naturals)
    return {(breaker, instance): (since, outage) for breaker, instance, since, outage in rows}


def _trips(
    views: Sequence[BreakerView], kinds: Collection[RuleKind], *, since: datetime
) -> dict[Pair, tuple[datetime, ...]]:
    if not kinds:
        return {}
    rows = _fetch(_TRIPS, breakers=_ids(views), since=since - _reach(kinds))
    found: dict[Pair, list[datetime]] = defaultdict(list)
    for breaker, instance, at in rows:
        found[breaker, instance].append(at)
    return {pair: tuple(ats) for pair, ats in found.items()}


def _samples(
    views: Sequence[BreakerView], kinds: Collection[RuleKind], *, since: datetime
) -> dict[Pair, tuple[Sample, ...]]:
    """Of breakers of which the newest sample of some instance could matter; of all others nothing is read."""
    if not kinds:
        return {}
    since -= _reach(kinds)
    newest = _fetch(_NEWEST_SAMPLES, breakers=_ids(views), since=since)
    moving = {
        breaker
        for breaker, _, at, metrics in newest
        if any(kind.is_moved_by(_sample(at, metrics)) for kind in kinds)
    }
    if not moving:
        return {}
    found: dict[Pair, list[Sample]] = defaultdict(list)
    for breaker, instance, at, metrics in _fetch(_SAMPLES, breakers=sorted(moving), since=since):
        found[breaker, instance].append(_sample(at, metrics))
    return {pair: tuple(samples) for pair, samples in found.items()}


def _sample(at: datetime, metrics: str | Mapping[str, Any]) -> Sample:
    said: Mapping[str, Any] = msgspec.json.decode(metrics) if isinstance(metrics, str) else metrics
    calls, refused = said.get("calls"), said.get("not_permitted")
    return Sample(
        at=at,
        failure_rate=_rate(said.get("failure_rate"), said.get("failed"), calls),
        slow_rate=_rate(said.get("slow_rate"), said.get("slow"), calls),
        not_permitted_rate=None
        if calls is None or refused is None
        else _rate(None, refused, calls + refused),
    )


def _rate(said: float | None, some: float | None, of: float | None) -> float | None:
    """In percent, as reported or else as counted."""
    if said is not None:
        return said
    return None if some is None or not of else min(100 * some / of, 100.0)


def _reach(kinds: Iterable[RuleKind]) -> timedelta:
    return timedelta(seconds=max(kind.reaches_back_s for kind in kinds))


def _ids(views: Iterable[BreakerView]) -> list[int]:
    return [view.id for view in views]


def _fetch(statement: str, **parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())
