"""From steps to findings: what each rule says of each breaker after each thing that happened. Pure."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
import structlog

from alerts.grouping import Group, group_of, subjects_of
from alerts.rulebook import LoadedRule
from alerts.verdicts import (
    HOLD,
    BreakerView,
    CheckAt,
    Firing,
    InstanceView,
    Verdict,
    of_instances,
    text_of,
)

_log = structlog.get_logger(__name__)
PRESENT = 2**80
"""The order of what is seen now, after all that happened."""
_LONG_AGO, _NEVER = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


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
            only = instances[0] if instance_id else None
            group = group_of(rule.group_by, replay.now, only)
            course = _course(rule, _among(replay.before, mine))
            last = course.judged(now)
            told: Verdict | None = None
            for step in replay.steps:
                if not step.is_of(mine):
                    continue
                while isinstance(last, CheckAt) and last.due < step.at:
                    # It came due while nobody judged; what follows from that comes before this step.
                    at, last = last.due, course.judged(last.due)
                    if isinstance(last, CheckAt) and last.due <= at:
                        break
                    told = last
                    found.append(
                        Finding(
                            step.order, at, rule, replay.now, instance_id, group, last, news=True
                        )
                    )
                verdict = course.judged_after(step)
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
        seen, at = _among(replay.before, mine), since
        verdict = _judged(rule, seen, at)
        steps = [step for step in replay.steps if step.is_of(mine)]
        for step in [*steps, None]:
            end = until if step is None else step.at
            while (due := verdict.again) is not None and at < due < end:
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


def _among(seen: BreakerView, instances: Set[int]) -> BreakerView:
    """The breaker with these of its instances."""
    kept = tuple([one for one in seen.instances if one.id in instances])
    return msgspec.structs.replace(seen, instances=kept)


def _is_news(last: Verdict, verdict: Verdict) -> bool:
    if not isinstance(verdict, Firing):
        return False
    return not isinstance(last, Firing) or not verdict.by <= last.by


def _course(rule: LoadedRule, seen: BreakerView) -> _Whole | _ByInstance:
    return (_ByInstance if rule.condition.kind.is_by_instance else _Whole)(rule, seen)


class _Whole:
    """A subject on its way through the steps, judged as a whole after each."""

    def __init__(self, rule: LoadedRule, seen: BreakerView) -> None:
        self._rule, self._seen = rule, seen

    def judged(self, at: datetime) -> Verdict:
        return _judged(self._rule, self._seen, at)

    def judged_after(self, step: Step) -> Verdict:
        self._seen = step.onto(self._seen)
        return self.judged(step.at)


class _ByInstance:
    """The same where each instance is judged by itself: a step asks of the one that it is about. What was said of
    the others stands until the first time that was named for asking again."""

    def __init__(self, rule: LoadedRule, seen: BreakerView) -> None:
        self._rule, self._breaker_id = rule, seen.id
        self._judge = rule.condition.kind.judge_instance
        self._instances = {one.id: one for one in seen.instances}
        self._said: dict[int, tuple[InstanceView, Verdict]] = {}
        """Of the live ones, in their order; what stands from `_since` until `_until`."""
        self._firing: set[int] = set()
        self._since = self._until = _LONG_AGO

    def judged(self, at: datetime, changed: InstanceView | None = None) -> Verdict:
        try:
            if not self._since <= at < self._until:
                self._ask_all(at)
            elif changed is not None:
                self._ask(changed, at)
            said = self._said.values()
            if self._firing and self._until is _NEVER:
                # What is said most in a storm, and without a look at each.
                return Firing(text_of(said), frozenset(self._firing))
            return of_instances(said)
        except Exception:
            self._until = _LONG_AGO
            return _failed(self._rule, self._breaker_id)

    def judged_after(self, step: Step) -> Verdict:
        changed = step.instance
        if changed is None or (was := self._instances.get(changed.id)) is None:
            return self.judged(step.at)
        self._instances[changed.id] = changed
        if not (was.live and changed.live):
            self._until = _LONG_AGO  # others are asked now
        return self.judged(step.at, changed)

    def _ask_all(self, at: datetime) -> None:
        self._said, self._firing = {}, set()
        self._since, self._until = at, _NEVER
        for one in self._instances.values():
            if one.live:
                self._ask(one, at)

    def _ask(self, one: InstanceView, at: datetime) -> None:
        verdict = self._judge(one, at)
        self._said[one.id] = one, verdict
        if isinstance(verdict, Firing):
            self._firing.add(one.id)
        else:
            self._firing.discard(one.id)
        if verdict.again is not None:
            self._until = min(self._until, verdict.again)


def _judged(rule: LoadedRule, seen: BreakerView, now: datetime) -> Verdict:
    try:
        return rule.condition.kind.judge(seen, now)
    except Exception:
        return _failed(rule, seen.id)


def _failed(rule: LoadedRule, breaker_id: int) -> Verdict:
    """A kind that fails says nothing, and stops no other rule."""
    _log.exception("rule failed to judge", rule=rule.id, breaker=breaker_id)
    return HOLD
