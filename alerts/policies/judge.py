"""Policies within the evaluator's claim: what happened to each breaker, what follows, and doing it.

First all is decided from what was read; only where something is to be done are rows locked, and what stands is
looked at again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from alerts.judging import Replay
from alerts.models import PolicyCase, PolicyMode
from alerts.policies import fleet
from alerts.policies.acts import (
    go_on,
    is_its_own,
    lock_desired,
    standing_overrides,
    why_left_alone,
    why_not_hold,
)
from alerts.policies.book import LoadedPolicy, enabled_policies
from alerts.policies.cases import case_of, fill, follow_names, is_unwell
from alerts.policies.fleet import Act, Case, Hold, Phase, Wait
from alerts.policies.hands import trips_by_hand
from alerts.policies.suggest import end_suggestion, suggest
from breakers.errors import CallError
from breakers.models import BreakerInstance

LOOK_AGAIN = timedelta(seconds=5)
"""How soon a policy tries anew what something forbids."""


@dataclass(slots=True)
class _Judged:
    """One breaker under one policy, in hand."""

    policy: LoadedPolicy
    replay: Replay
    row: PolicyCase
    case: Case
    decision: fleet.Decision

    @property
    def breaker_id(self) -> int:
        return self.replay.now.id

    @property
    def is_new_hold(self) -> bool:
        return self.case.phase is Phase.WATCHING

    @property
    def only_says_so(self) -> bool:
        return self.is_new_hold and self.policy.mode == PolicyMode.SUGGEST


def judge_policies(replays: Sequence[Replay], *, now: datetime) -> None:
    """Inside the claim's transaction, after all else that is judged."""
    policies = enabled_policies()
    if not policies:
        return
    rows = {
        (row.policy_id, row.breaker_id): row
        for row in PolicyCase.objects.filter(breaker__in=[one.now.id for one in replays])
    }
    concerned = [
        (policy, replay, row)
        for replay in replays
        for policy in policies
        if (row := rows.get((policy.id, replay.now.id))) is not None
        or (is_unwell(replay) and policy.covers(replay.now))
    ]
    if not concerned:
        return
    active = {row.breaker_id for row in rows.values() if row.phase != Phase.WATCHING}
    standing = standing_overrides(active) if active else {}
    reachable = _reachable(active) if active else frozenset()
    follow_names((row, replay) for _, replay, row in concerned if row is not None)
    hands = trips_by_hand(
        {replay.now.id for _, replay, _ in concerned},
        since=now - timedelta(seconds=max(policy.terms.window for policy, _, _ in concerned)),
    )
    judged = []
    for policy, replay, row in concerned:
        row = row or PolicyCase(policy_id=policy.id, breaker_id=replay.now.id, began_at=now)
        by_hand = hands.get(replay.now.id, fleet.by_nobody)
        case = case_of(row, replay, now, by_hand=by_hand)
        if case.phase is not Phase.WATCHING and not is_its_own(
            standing.get(replay.now.id), policy.id, row.revision
        ):
            case = fleet.lapse(case)
        case = fleet.observe(
            case,
            replay.before,
            [(step.at, step.instance) for step in replay.steps if step.instance is not None],
            replay.now,
            now,
            by_hand=by_hand,
        )
        decision: fleet.Decision = Wait()
        if policy.covers(replay.now):
            decision = fleet.decide(policy.terms, case, replay.now, reachable, now)
        elif case.phase is not Phase.WATCHING:
            decision = fleet.Release("The policy is not about this breaker any more.")
        judged.append(_Judged(policy, replay, row, case, decision))
    _act(judged, now=now)
    _write(judged, now=now)


def _reachable(breakers: Collection[int]) -> frozenset[int]:
    """The instances that hear what is wished. Those known by HTTP alone obey nothing; where a breaker has no
    others, they may still prove something."""
    hearing: dict[int, set[int]] = defaultdict(set)
    by_http: dict[int, set[int]] = defaultdict(set)
    live = BreakerInstance.objects.there().filter(breaker__in=breakers, instance__lost_at=None)
    for breaker_id, instance_id, connected in live.values_list(
        "breaker_id", "instance_id", "instance__connected"
    ):
        if connected is not False:
            (hearing if connected else by_http)[breaker_id].add(instance_id)
    return frozenset().union(*(hearing[one] or by_http[one] for one in breakers))


def _act(judged: Sequence[_Judged], *, now: datetime) -> None:
    acting = [one for one in judged if not isinstance(one.decision, Wait)]
    if acting:
        lock_desired(
            {one.breaker_id for one in acting},
            policies={one.policy.id for one in acting if one.is_new_hold},
        )
    for one in judged:
        fill(one.row, one.case)
        if isinstance(one.decision, Wait):
            one.row.blocked, one.row.check_at = None, one.decision.until
        else:
            _do(one, one.decision, now=now)


def _do(one: _Judged, act: Act, *, now: datetime) -> None:
    """Under the locks. What is refused is tried again: the case stays as it is, and the row says why."""
    row, standing = one.row, standing_overrides([one.breaker_id]).get(one.breaker_id)
    row.blocked, row.check_at = None, now + LOOK_AGAIN
    if one.is_new_hold:
        row.blocked = why_not_hold(one.policy, standing) or why_left_alone(
            one.breaker_id, one.case, now
        )
    elif not is_its_own(standing, one.policy.id, row.revision):
        one.case = fleet.lapse(one.case)
        fill(row, one.case)
        return
    if row.blocked is not None:
        return
    if one.only_says_so and isinstance(act, Hold):
        if not row.suggested:
            suggest(one.policy, one.replay.now, act.why, now=now)
        row.suggested, row.check_at = True, None
        return
    try:
        with transaction.atomic():
            one.case = go_on(one.policy, row, one.case, act, now=now)
    except CallError as refused:
        row.blocked = refused.detail[:500]


def _write(judged: Sequence[_Judged], *, now: datetime) -> None:
    for one in judged:
        row = one.row
        is_elsewhere = not one.policy.covers(one.replay.now) and one.case.phase is Phase.WATCHING
        if is_elsewhere or fleet.is_over(one.case, one.replay.now):
            if row.suggested:
                text = "It is another's now." if is_elsewhere else "The breaker has closed."
                end_suggestion(one.policy.id, one.breaker_id, text=text, now=now)
            if row.pk is not None:
                row.delete()
        else:
            row.save()
