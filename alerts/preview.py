"""What a rule would have fired on over a past span: the same judging and folding, over history as it was received."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from alerts.background import with_trips
from alerts.claim import UNWELL
from alerts.fold import Fold, Held
from alerts.judging import Finding, Replay, Step, findings_of, with_dues
from alerts.labels import labels_of
from alerts.rulebook import Condition, LoadedRule
from alerts.rules import Need
from alerts.verdicts import BreakerView, InstanceView
from breakers.access import Actor, breakers_for
from breakers.errors import FieldError, Invalid
from breakers.history.receipt import Lane, Stood, lanes_of
from breakers.models import Breaker
from breakers.states import State

USUAL = timedelta(hours=24)
LONGEST = timedelta(days=31)
EVENTS_MOST = 50_000
SHOWN_MOST = 200
_WITHIN_S = 8.0
"""The answer comes, or a refusal that says how to ask for less, before whoever waits gives up."""
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class PreviewSpan:
    """`since` ≤ t < `until`."""

    since: datetime
    until: datetime

    @classmethod
    def of(cls, since: datetime | None, until: datetime | None, *, now: datetime) -> PreviewSpan:
        """The last 24 hours by default. Raises Invalid for one that is empty or longer than 31 days."""
        until = now if until is None else min(until, now)
        try:
            since = until - USUAL if since is None else since
        except OverflowError:
            raise Invalid([FieldError(("until",), "is longer ago than anything here")]) from None
        if since >= until:
            raise Invalid([FieldError(("since",), "must be earlier than until, and than now")])
        if until - since > LONGEST:
            raise Invalid(
                [FieldError(("since",), f"must be at most {LONGEST.days} days before until")]
            )
        return cls(since, until)


@dataclass(frozen=True, slots=True)
class WouldBe:
    """An incident that the rule would have made. `from_before`: it was firing when the span began."""

    summary: str
    environment: str
    target: str | None
    breakers: list[int]
    started_at: datetime
    resolved_at: datetime | None
    from_before: bool


@dataclass(frozen=True, slots=True)
class Preview:
    """The last incidents, newest first, of `total`; by `events` state changes of `breakers` that it is about."""

    incidents: list[WouldBe]
    total: int
    events: int
    breakers: int


def preview_rule(
    condition: Condition,
    *,
    group_by: Sequence[str],
    clear_for: int,
    actor: Actor,
    span: PreviewSpan,
) -> Preview:
    """Within the actor's limits. Raises Invalid where more happened than can be replayed in time, and for a kind
    that looks at what history does not keep."""
    if not condition.kind.previews:
        raise Invalid(
            [FieldError(("kind",), "cannot be tried on the past: the span is not replayed for it")]
        )
    deadline = time.monotonic() + _WITHIN_S
    rule = LoadedRule(
        id=0,
        name="",
        severity="info",
        condition=condition,
        group_by=frozenset(group_by),
        clear_for=clear_for,
        dry_run=True,
        runbook_url=None,
        channels=(),
        environments=actor.environments,
        services=actor.services,
    )
    early: list[Finding] = []
    findings: list[Finding] = []
    events = about = 0
    for breaker, lanes in _lanes(actor, span, deadline):
        replay = _replay(breaker, lanes, span)
        if not rule.instances_of(replay.now):
            continue
        about += 1
        events += sum(len(lane.moves) for lane in lanes)
        if events > EVENTS_MOST or time.monotonic() > deadline:
            raise _too_much()
        standing = Replay(replay.before, (), replay.before)
        early += findings_of([rule], standing, now=span.since)
        if Need.TRIPS in condition.kind.needs:
            replay = with_trips(replay, condition.kind, since=span.since)
        replay = with_dues(rule, replay, since=span.since, until=span.until)
        findings += findings_of([rule], replay, now=span.until)
    fold = Fold((), {})
    for finding in sorted(early, key=_order):
        fold.add(finding)
    began = len(fold.all)
    for n, finding in enumerate(sorted(findings, key=_order)):
        if n % _AT_ONCE == 0 and time.monotonic() > deadline:
            raise _too_much()
        fold.add(finding)
    fold.clear_all(span.until)
    made = [_would_be(one, from_before=n < began) for n, one in enumerate(fold.all)]
    made.sort(key=lambda one: one.started_at, reverse=True)
    return Preview(made[:SHOWN_MOST], len(made), events, about)


def _order(finding: Finding) -> tuple[datetime, int, int, int]:
    return finding.at, finding.order, finding.breaker.id, finding.instance_id


def _too_much() -> Invalid:
    return Invalid(
        [FieldError(("since",), "too much happened since then; a shorter span can be replayed")]
    )


def _lanes(
    actor: Actor, span: PreviewSpan, deadline: float
) -> Iterator[tuple[Breaker, list[Lane]]]:
    breakers = list(breakers_for(actor).order_by("pk"))
    for first in range(0, len(breakers), _AT_ONCE):
        if time.monotonic() > deadline:
            raise _too_much()
        some = {breaker.pk: breaker for breaker in breakers[first : first + _AT_ONCE]}
        lanes = lanes_of(list(some), since=span.since, until=span.until, most=EVENTS_MOST)
        by_breaker: dict[int, list[Lane]] = {}
        for lane in lanes:
            by_breaker.setdefault(lane.breaker_id, []).append(lane)
        for id, of_breaker in by_breaker.items():
            yield some[id], of_breaker


def _replay(breaker: Breaker, lanes: Sequence[Lane], span: PreviewSpan) -> Replay:
    view = BreakerView(
        breaker.pk,
        breaker.service.environment.name,
        breaker.service.name,
        breaker.name,
        breaker.target,
        (),
    )
    before, after, steps = [], [], []
    for lane in lanes:
        labels = labels_of(
            lane.labels,
            environment=view.environment,
            service=view.service,
            breaker=view.breaker,
            target=view.target,
            instance=lane.instance,
            library=lane.library,
        )
        stood, told = lane.before, sorted(_turns(lane, span), key=lambda turn: turn[0])
        last = _view(lane, labels, stood, None, there=_is_there(lane, span.since))
        before.append(last)
        for at, became in told:
            stood = became or stood
            last = _view(lane, labels, stood, last, there=_is_there(lane, at))
            steps.append((at, last))
        after.append(last)
    steps.sort(key=lambda step: step[0])
    return Replay(
        msgspec.structs.replace(view, instances=tuple(before)),
        tuple(Step(n, at, instance) for n, (at, instance) in enumerate(steps)),
        msgspec.structs.replace(view, instances=tuple(after)),
    )


def _turns(lane: Lane, span: PreviewSpan) -> Iterator[tuple[datetime, Stood | None]]:
    """When what is seen of it changed: by its own word, or by its going and coming (None)."""
    for move in lane.moves:
        yield move.at, move.became
    for gone, back in lane.absences:
        for at in (gone, back):
            if at is not None and span.since < at < span.until:
                yield at, None


def _is_there(lane: Lane, at: datetime) -> bool:
    return not any(gone <= at and (back is None or at < back) for gone, back in lane.absences)


def _view(
    lane: Lane, labels: dict[str, str], stood: Stood, last: InstanceView | None, *, there: bool
) -> InstanceView:
    is_known = stood.state is not State.UNKNOWN
    natural = stood.natural if stood.natural and is_known else stood.state
    outage = None
    if natural in UNWELL:
        # What an override covers goes on where it was; of its beginning history knows only what was said of it.
        begun = stood.not_closed_since if stood.state in UNWELL else stood.since
        outage = (last and last.outage_since) or begun
    return InstanceView(
        id=lane.instance_id,
        name=lane.instance,
        labels=labels,
        state=stood.state,
        natural=natural,
        since=stood.since,
        live=there and is_known,
        lost=there and not is_known and stood.since is not None,
        outage_since=outage,
    )


def _would_be(held: Held, *, from_before: bool) -> WouldBe:
    incident = held.incident
    return WouldBe(
        summary=incident.summary,
        environment=incident.environment,
        target=incident.target,
        breakers=list(dict.fromkeys(breaker for breaker, _ in held.members)),
        started_at=incident.started_at,
        resolved_at=incident.resolved_at,
        from_before=from_before,
    )
