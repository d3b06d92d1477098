"""From steps to findings: what each rule says of each breaker after each thing that happened. Pure."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from datetime import datetime

import msgspec
import structlog

from alerts.grouping import Group, group_of, subjects_of
from alerts.rulebook import LoadedRule
from alerts.verdicts import BreakerView, CheckAt, Firing, Hold, InstanceView, Verdict, asked_again

_log = structlog.get_logger(__name__)
PRESENT = 2**80
"""The order of what is seen now, after all that happened."""


class Step(msgspec.Struct, frozen=True, gc=False):
    """One thing that happened, at the `order`-th place: an instance became this, or (None) the breaker's `broken`
    did."""

    order: int
    at: datetime
    instance: InstanceView | None
    broken: str | None = None

    def is_of(self, instances: Set[int]) -> bool:
        """Whether it is about one of these, or about the breaker."""
        return self.instance is None or self.instance.id in instances

    def onto(self, seen: BreakerView) -> BreakerView:
        """The breaker after it."""
        if self.instance is None:
            return msgspec.structs.replace(seen, broken=self.broken)
        return seen.with_instance(self.instance)


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
        for instance_id, instances in _subjects(rule, replay.now):
            mine = {one.id for one in instances}
            seen = msgspec.structs.replace(
                replay.before,
                instances=tuple(one for one in replay.before.instances if one.id in mine),
            )
            only = instances[0] if instance_id else None
            group = group_of(rule.group_by, replay.now, only)
            last = _judged(rule, seen, now)
            told: Verdict | None = None
            for step in replay.steps:
                if not step.is_of(mine):
                    continue
                while isinstance(last, CheckAt) and last.due < step.at:
                    # It came due while nobody judged; what follows from that comes before this step.
                    at, last = last.due, _judged(rule, seen, last.due)
                    if isinstance(last, CheckAt) and last.due <= at:
                        break
                    told = last
                    found.append(
                        Finding(
                            step.order, at, rule, replay.now, instance_id, group, last, news=True
                        )
                    )
                seen = step.onto(seen)
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


def with_dues(rule: LoadedRule, replay: Replay, *, since: datetime, until: datetime) -> Replay:
    """The same with a step that changes nothing wherever the rule asked to be asked again, in time order.

    For a replay of what is long past; the steps of now find their due checks in the standings.
    """
    extra: list[Step] = []
    for _, instances in _subjects(rule, replay.now):
        mine = {one.id for one in instances}
        about = tuple(one for one in replay.before.instances if one.id in mine)
        seen, at = msgspec.structs.replace(replay.before, instances=about), since
        verdict = _judged(rule, seen, at)
        steps = [step for step in replay.steps if step.is_of(mine)]
        for step in [*steps, None]:
            end = until if step is None else step.at
            while (due := asked_again(verdict)) is not None and at < due < end:
                at = due
                extra.append(Step(0, at, None, seen.broken))
                verdict = _judged(rule, seen, at)
            if step is not None:
                seen, at = step.onto(seen), step.at
                verdict = _judged(rule, seen, at)
    ordered = sorted([*replay.steps, *extra], key=lambda step: step.at)
    numbered = [msgspec.structs.replace(step, order=n) for n, step in enumerate(ordered)]
    return Replay(replay.before, tuple(numbered), replay.now)


def _subjects(rule: LoadedRule, seen: BreakerView) -> list[tuple[int, tuple[InstanceView, ...]]]:
    """What is judged as one; see `subjects_of`. A kind that judges breakers whole sees one without instances too."""
    about = rule.instances_of(seen)
    if not rule.condition.kind.whole:
        return subjects_of(rule.group_by, about)
    return [(0, tuple(about))] if about or rule.is_about_alone(seen) else []


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
