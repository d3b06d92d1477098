"""What a rule says after each step, however little it is asked anew."""

from __future__ import annotations

from datetime import datetime, timedelta
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.judging import Finding, Replay, Step, findings_of
from alerts.rulebook import Condition, LoadedRule
from alerts.rules import RuleKind, rule_kinds
from alerts.verdicts import (
    HOLD,
    QUIET,
    BreakerView,
    CheckAt,
    Firing,
    InstanceView,
    Quiet,
    Sample,
    Verdict,
)
from breakers.states import State
from tests.alerts.rules.test_every_kind import EXAMPLES
from tests.alerts.views import T0, instance, override, view

_SPAN_S = 400


def rule_of(kind: RuleKind, *, group_by: str = "target") -> LoadedRule:
    return LoadedRule(
        id=1,
        name="",
        severity="info",
        condition=Condition(kind, ()),
        group_by=frozenset({group_by}),
        clear_for=0,
        dry_run=False,
        runbook_url=None,
        channels=(),
        environments=None,
        services=None,
    )


class Moody(RuleKind, frozen=True):
    """Says of each instance what suits its age, its own words included, and fails where one is unknown."""

    kind = "moody"

    def judge_instance(self, seen: InstanceView, now: datetime) -> Verdict:
        assert seen.since is not None
        if seen.natural is State.UNKNOWN:
            raise ValueError
        due = seen.since + timedelta(seconds=20)
        match seen.natural:
            case State.OPEN:
                return Firing(f"{seen.name} fires") if now >= due else CheckAt(due)
            case State.HALF_OPEN:
                return QUIET if now >= due else Firing(f"{seen.name} is young", again=due)
            case State.CLOSED:
                return QUIET if now >= due else Quiet(due)
            case _:
                return HOLD


def kinds() -> list[RuleKind]:
    rule_kinds.load()
    read = [rule_kinds.read(name, EXAMPLES[name], loc="params") for name in rule_kinds.names()]
    return [*read, Moody()]


seconds = st.integers(0, _SPAN_S)
moves = st.tuples(
    seconds,
    st.integers(0, 3),
    st.sampled_from(State),
    st.sampled_from(State),
    st.sampled_from([True, True, True, False]),
)


@st.composite
def replays(draw: st.DrawFn) -> Replay:
    """A breaker in three instances, and a fourth that nobody asks about. What it sees of history reaches beyond the
    steps, as it does where several of them are judged together."""
    trips = tuple(T0 + timedelta(seconds=s) for s in sorted(draw(st.lists(seconds, max_size=6))))
    samples = tuple(Sample(at, 90.0, 90.0, 90.0) for at in trips)
    first = [instance(name=name, trips=trips, samples=samples) for name in "abcd"]
    last = list(first)
    steps = []
    told = sorted(draw(st.lists(moves, max_size=12)), key=lambda move: move[0])
    for order, (second, place, state, natural, live) in enumerate(told):
        at = T0 + timedelta(seconds=second)
        one = msgspec.structs.replace(
            last[place],
            state=state,
            natural=natural,
            live=live,
            lost=not live,
            since=at,
            outage_since=at if natural in (State.OPEN, State.HALF_OPEN) else None,
        )
        last[place] = one
        steps.append(Step(order, at, one))
        if draw(st.integers(0, 9)) == 0:
            steps.append(Step(order, at, None, draw(st.sampled_from([None, "forced by ada"]))))
    wished = draw(st.sampled_from([None, override(expires_at=T0 + timedelta(seconds=90))]))
    return Replay(view(*first, override=wished), tuple(steps), view(*last[:3], override=wished))


def judged_whole(rule: LoadedRule, replay: Replay, now: datetime) -> list[Finding]:
    with patch.object(RuleKind, "is_by_instance", new=False):
        return findings_of([rule], replay, now=now)


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.kind)
@pytest.mark.parametrize("group_by", ["target", "instance"])
@given(replay=replays())
def test_asking_of_what_changed_says_what_asking_of_all_says(
    kind: RuleKind, group_by: str, replay: Replay
):
    rule, now = rule_of(kind, group_by=group_by), T0 + timedelta(seconds=_SPAN_S)

    assert findings_of([rule], replay, now=now) == judged_whole(rule, replay, now)


def test_a_step_asks_of_the_instance_that_it_is_about():
    asked: list[str] = []

    class Asking(RuleKind, frozen=True):
        """Fires never."""

        kind = "asking"

        def judge_instance(self, seen: InstanceView, now: datetime) -> Verdict:
            asked.append(seen.name)
            return QUIET

    a, b = instance(name="a"), instance(name="b")
    seen: BreakerView = view(a, b)
    steps = tuple(
        Step(n, T0 + timedelta(seconds=n), msgspec.structs.replace(a, state=State.OPEN))
        for n in range(3)
    )

    findings_of([rule_of(Asking())], Replay(seen, steps, seen), now=T0 + timedelta(seconds=9))

    # All of them before the steps, at the first, and at the end, which are other times; then one.
    assert asked == ["a", "b", "a", "b", "a", "a", "a", "b"]
