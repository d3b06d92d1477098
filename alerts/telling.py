"""What a message says beside how its breakers stand: each kind of rule has what belongs to it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import msgspec

from alerts.background import with_background
from alerts.claim import read
from alerts.models import Incident, IncidentBreaker
from alerts.openings import openings_of
from alerts.rulebook import LoadedRule, rule_of
from alerts.rules import Tells
from alerts.sentences import Told, began
from alerts.verdicts import Firing, InstanceView, Match, OverrideView
from breakers.models import BreakerInstance
from breakers.wire import Summary


def told_of(incident: Incident, breakers: Sequence[Summary], *, now: datetime) -> Told:
    """Of an incident that is not over, and these breakers in it."""
    rule = None if incident.rule_id is None else rule_of(incident.rule_id)
    if rule is None:
        return Told()
    match rule.condition.kind.tells:
        case Tells.OPENING:
            openings = openings_of(breakers, began_at=incident.started_at)
            each = {id: began(opening) for id, opening in openings.items()}
            return Told(each, next(iter(each.values()), "") if len(breakers) == 1 else "")
        case Tells.MATCHES:
            return _told_of_matches(rule, incident, [int(one.id) for one in breakers], now=now)
        case Tells.NOTHING:
            return Told()


def _told_of_matches(
    rule: LoadedRule, incident: Incident, breaker_ids: Sequence[int], *, now: datetime
) -> Told:
    matching = _matching(rule, incident, breaker_ids, now=now)
    matches = _matches(matching)
    kind = rule.condition.kind
    each = {str(id): kind.tell(found) for id, found in matches.items()}
    # An instance has many breakers, and is told of once.
    once = {one.view.id: one for found in matches.values() for one in found}
    return Told(each, kind.tell(_in_order(once.values())) if once else "")


def _matching(
    rule: LoadedRule, incident: Incident, breaker_ids: Sequence[int], *, now: datetime
) -> dict[tuple[int, int], tuple[InstanceView, OverrideView | None]]:
    """By breaker and instance, those of which the rule fires now, with the override that stands; judged as evaluation does."""
    members: dict[int, set[int]] = defaultdict(set)
    for breaker_id, instance_id in IncidentBreaker.objects.filter(
        incident=incident, breaker__in=breaker_ids
    ).values_list("breaker_id", "instance_id"):
        members[breaker_id].add(instance_id)
    found = {}
    for replay in with_background(read(list(breaker_ids), now=now).replays, [rule], now=now):
        seen = msgspec.structs.replace(replay.now, instances=tuple(rule.instances_of(replay.now)))
        verdict = rule.condition.kind.judge(seen, now)
        if not isinstance(verdict, Firing):
            continue
        for one in seen.instances:
            # 0: the incident is about all instances of the breaker.
            if one.id in verdict.by and members[seen.id] & {0, one.id}:
                found[seen.id, one.id] = one, seen.override
    return found


def _matches(
    matching: Mapping[tuple[int, int], tuple[InstanceView, OverrideView | None]],
) -> dict[int, list[Match]]:
    rows = BreakerInstance.objects.filter(
        breaker__in={breaker for breaker, _ in matching},
        instance__in={instance for _, instance in matching},
    ).select_related("instance")
    matches: dict[int, list[Match]] = defaultdict(list)
    for row in rows:
        known = matching.get((row.breaker_id, row.instance_id))
        if known is not None:
            matches[row.breaker_id].append(
                Match(
                    *known,
                    last_seen=row.instance.last_seen,
                    refused=row.refused_revision,
                    error=row.refused_error or "",
                    is_deaf=row.instance.connected is None,
                )
            )
    return {breaker: _in_order(found) for breaker, found in matches.items()}


def _in_order(matches: Iterable[Match]) -> list[Match]:
    return sorted(matches, key=lambda one: one.view.name)
