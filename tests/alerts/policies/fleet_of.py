"""A breaker's instances as tests set them, and the machine run over them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from alerts.policies import fleet
from alerts.policies.fleet import Case, Decision, Terms, Wait
from alerts.verdicts import BreakerView, InstanceView
from breakers.states import State

T0 = datetime.fromisoformat("2026-01-01T12:00:00+00:00")


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


class Fleet:
    """Instances `a`, `b`, … of one breaker under one policy, with a clock of their own.

    A hold that the machine decides on is carried out at once, as the panel does: all instances are forced but
    those that it excepts.
    """

    def __init__(self, terms: Terms, names: Sequence[str] = "abcde") -> None:
        self.terms = terms
        self.now = T0
        self.natural = dict.fromkeys(names, State.CLOSED)
        self.since = dict.fromkeys(names, T0 - timedelta(hours=1))
        self.lost: set[str] = set()
        self.away: set[str] = set()
        self.forced: set[str] = set()
        self.case: Case | None = None
        self.last: Decision = Wait()
        self.acts: list[fleet.Act] = []
        self._ids = {name: number for number, name in enumerate(names, 1)}

    def view(self) -> BreakerView:
        return BreakerView(
            1, "prod", "orders", "catalog", "catalog", tuple(map(self._one, self.natural))
        )

    def _one(self, name: str) -> InstanceView:
        lost, forced = name in self.lost, name in self.forced
        natural = State.UNKNOWN if lost else self.natural[name]
        return InstanceView(
            id=self._ids[name],
            name=name,
            labels={},
            state=State.FORCED_OPEN if forced and not lost else natural,
            natural=natural,
            since=self.since[name],
            live=not lost,
        )

    def says(self, name: str, state: str, *, ago: float = 0) -> Decision:
        """An instance's own breaker moves; the machine is asked."""
        before = self.view()
        self.natural[name] = State(state)
        self.since[name] = self.now - seconds(ago)
        return self.judge(before, [(self.now, self._one(name))])

    def wait(self, for_s: float) -> Decision:
        self.now += seconds(for_s)
        return self.judge(self.view(), [])

    def loses(self, *names: str) -> Decision:
        before = self.view()
        self.lost |= set(names)
        return self.judge(before, [(self.now, self._one(name)) for name in names])

    def judge(self, before: BreakerView, steps: list[tuple[datetime, InstanceView]]) -> Decision:
        seen = self.view()
        case = self.case or fleet.begin(before, self.now)
        case = fleet.observe(case, before, steps, seen, self.now)
        decision = fleet.decide(self.terms, case, seen, self.reachable, self.now)
        self.last = decision
        if not isinstance(decision, Wait):
            self.acts.append(decision)
            case = fleet.after(case, decision, self.now)
            self.forced = (
                set()
                if isinstance(decision, fleet.Release)
                else set(self.natural) - set(case.excepted)
            )
        self.case = None if fleet.is_over(case, seen) else case
        return decision

    @property
    def reachable(self) -> Collection[int]:
        return {self._ids[name] for name in self.natural if name not in self.away | self.lost}

    @property
    def phase(self) -> str:
        return self.case.phase.value if self.case else "none"
