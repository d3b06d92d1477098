"""From steps to findings: what each rule says of each breaker after each thing that happened. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
import structlog

from alerts.grouping import Group, group_of, subjects_of
from alerts.rulebook import LoadedRule
from alerts.verdicts import BreakerView, Firing, Hold, InstanceView, Verdict

_log = structlog.get_logger(__name__)
PRESENT = 2**63
"""The order of what is seen now, after all that happened."""


class Step(msgspec.Struct, frozen=True, gc=False):
    """One thing that happened: at the `order`-th place, an instance became this."""

    order: int
    at: datetime
    instance: InstanceView


@dataclass(frozen=True, slots=True)
class Replay:
    """A breaker before the steps, the steps, and the breaker as it is now."""

    before: BreakerView
    steps: tuple[Step, ...]
    now: BreakerView


class Finding(msgspec.Struct, frozen=True, gc=False):
    """What a rule says of a breaker (or one instance: `instance_id`) at one time."""

    order: int
    at: datetime
    rule: LoadedRule
    breaker: BreakerView
    instance_id: int
    group: Group
    verdict: Verdict
    news: bool
    """An instance matches that did not before this step."""


def findings_of(rules: Sequence[LoadedRule], replay: Replay, *, now: datetime) -> list[Finding]:
    """All that the rules say of this breaker, in order; the present comes last."""
    found: list[Finding] = []
    for rule in rules:
        about = rule.instances_of(replay.now)
        for instance_id, instances in subjects_of(rule.group_by, about):
            mine = {one.id for one in instances}
            seen = msgspec.structs.replace(
                replay.before,
                instances=tuple(one for one in replay.before.instances if one.id in mine),
            )
            group = group_of(rule.group_by, replay.now, instances[0])
            last = _judged(rule, seen, now)
            told: Verdict | None = None
            for step in replay.steps:
                if step.instance.id not in mine:
                    continue
                seen = seen.with_instance(step.instance)
                verdict = _judged(rule, seen, step.at)
                news = _is_news(last, verdict)
                last = verdict
                if verdict == told and not news:
                    continue  # it says what it said a step ago
                told = verdict
                found.append(
                    Finding(
                        step.order, step.at, rule, replay.now, instance_id, group, verdict, news
                    )
                )
            seen = msgspec.structs.replace(replay.now, instances=instances)
            verdict = _judged(rule, seen, now)
            found.append(
                Finding(PRESENT, now, rule, replay.now, instance_id, group, verdict, news=False)
            )
    return found


def _is_news(last: Verdict, verdict: Verdict) -> bool:
    if not isinstance(verdict, Firing):
        return False
    return not isinstance(last, Firing) or bool(verdict.by - last.by)


def _judged(rule: LoadedRule, seen: BreakerView, now: datetime) -> Verdict:
    """A kind that fails says nothing, and stops no other rule."""
    try:
        return rule.condition.kind.judge(seen, now)
    except Exception:
        _log.exception("rule failed to judge", rule=rule.id, breaker=seen.id)
        return Hold()
