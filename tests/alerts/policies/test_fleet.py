"""The fleet breaker's machine, by example and by chance."""

from __future__ import annotations

import string

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from alerts.policies.fleet import (
    BACK_OFF_AT_MOST,
    HOLD_AT_MOST_S,
    Case,
    Hold,
    Phase,
    Probe,
    Release,
    Terms,
    Wait,
    begin,
    lapse,
)
from alerts.verdicts import BreakerView
from breakers.states import State
from tests.alerts.policies.fleet_of import T0, Fleet, seconds

HALF = Terms(percent=50, window=60, hold=30, probes=1, successes=2)


def tripped(terms: Terms = HALF, names: str = "abcde", open_: str = "abc") -> Fleet:
    fleet = Fleet(terms, names)
    for name in open_:
        fleet.says(name, "open")
    assert fleet.phase == "holding"
    return fleet


def the_probe(fleet: Fleet) -> str:
    """The one that was let through last."""
    assert isinstance(fleet.last, Probe)
    return fleet.last.probes[-1]


@pytest.mark.parametrize(
    ("terms", "live", "threshold"),
    [
        (Terms(percent=50, min_instances=1), 5, 3),
        (Terms(percent=50, min_instances=1), 4, 2),
        (Terms(percent=50), 2, 2),  # half of two is one, and one sick node is no outage
        (Terms(percent=10, min_instances=1), 290, 29),
        (Terms(percent=100 / 3, min_instances=1), 3, 1),
        (Terms(percent=0.1, min_instances=1), 5, 1),
        (Terms(count=3), 100, 3),
        (Terms(count=1), 100, 2),
        (Terms(count=1, min_instances=1), 100, 1),
    ],
)
def test_the_threshold_is_at_least_so_many(terms: Terms, live: int, threshold: int):
    assert terms.threshold(live) == threshold


def test_it_acts_at_the_threshold_and_not_below():
    fleet = Fleet(HALF)

    assert fleet.says("a", "open") == Wait()
    assert fleet.says("b", "open") == Wait()
    assert fleet.says("c", "open") == Hold(
        "3 of 5 instances opened within 60 s", 30, T0 + seconds(30)
    )


def test_one_sick_node_that_opens_again_and_again_is_one():
    fleet = Fleet(HALF)

    for _ in range(20):
        fleet.says("a", "open")
        fleet.wait(10)
        fleet.says("a", "half_open")

    assert fleet.acts == []


def test_openings_farther_apart_than_the_window_are_no_outage():
    fleet = Fleet(HALF)

    for name in "abcde":
        fleet.says(name, "open")
        fleet.wait(31)

    assert fleet.acts == []


def test_the_window_is_by_the_instances_own_times():
    fleet = Fleet(HALF)

    fleet.says("a", "open", ago=61)
    fleet.says("b", "open", ago=60)
    assert fleet.says("c", "open") == Wait()
    assert isinstance(fleet.says("d", "open"), Hold)


def test_who_has_closed_since_does_not_count():
    fleet = Fleet(HALF)
    fleet.says("a", "open")
    fleet.says("b", "open")
    fleet.says("a", "closed")

    assert fleet.says("c", "open") == Wait()


def test_who_probes_by_itself_still_counts():
    fleet = Fleet(HALF)
    fleet.says("a", "open")
    fleet.says("b", "open")
    fleet.says("a", "half_open")

    assert isinstance(fleet.says("c", "open"), Hold)


def test_the_lost_count_neither_as_open_nor_as_live():
    fleet = Fleet(Terms(percent=60))
    fleet.loses("d", "e")
    fleet.says("a", "open")
    fleet.loses("a")
    assert fleet.says("b", "open") == Wait()
    assert isinstance(fleet.says("c", "open"), Hold)


def test_the_first_look_finds_what_is_open():
    fleet = Fleet(HALF)
    for name in "abc":
        fleet.natural[name], fleet.since[name] = State.OPEN, T0 - seconds(10)

    assert isinstance(fleet.wait(0), Hold)


def test_it_probes_when_the_hold_is_over_with_those_whose_breaker_is_open():
    fleet = tripped()

    assert fleet.wait(29) == Wait(T0 + seconds(30))
    probe = fleet.wait(1)

    assert isinstance(probe, Probe)
    assert len(probe.probes) == 1
    assert probe.probes[0] in "abc"
    assert fleet.forced == set("abcde") - set(probe.probes)


def test_enough_recoveries_one_after_another_release_all():
    fleet = tripped()
    fleet.wait(30)
    first = the_probe(fleet)
    fleet.says(first, "half_open")
    fleet.says(first, "closed")
    second = the_probe(fleet)

    assert second != first
    assert fleet.case is not None
    assert set(fleet.case.excepted) == {first, second}
    fleet.says(second, "half_open")
    assert fleet.says(second, "closed") == Release("2 instances have recovered.")
    assert fleet.forced == set()


def test_no_more_need_recover_than_there_are():
    fleet = tripped(Terms(count=2, hold=30, successes=9), "ab", "ab")
    fleet.wait(30)
    fleet.says(the_probe(fleet), "closed")
    assert isinstance(fleet.says(the_probe(fleet), "closed"), Release)


def test_those_still_open_after_a_release_are_no_new_outage():
    fleet = tripped(Terms(count=2, hold=30, successes=1))
    fleet.wait(30)
    fleet.says(the_probe(fleet), "closed")

    assert fleet.phase == "watching"
    assert fleet.wait(1) == Wait()
    for name in (one for one in "abc" if fleet.natural[one] is State.OPEN):
        fleet.says(name, "half_open")
        fleet.says(name, "closed")
    assert fleet.phase == "none"
    assert len(fleet.acts) == 3


def test_those_that_open_anew_after_a_release_are():
    fleet = tripped(Terms(count=2, hold=30, successes=1))
    fleet.wait(30)
    fleet.says(the_probe(fleet), "closed")
    left = [one for one in "abc" if fleet.natural[one] is State.OPEN]

    for name in left:
        fleet.says(name, "half_open")
        fleet.says(name, "open")

    assert fleet.phase == "holding"


def test_a_probe_that_opens_again_is_held_again_for_longer():
    fleet = tripped()
    fleet.wait(30)
    probe = the_probe(fleet)
    fleet.says(probe, "half_open")

    held = fleet.says(probe, "open")

    assert held == Hold(f"{probe} opened again", 60, fleet.now + seconds(60), 1)
    assert fleet.forced == set("abcde")


def test_one_that_had_recovered_and_opens_fails_the_probing_too():
    fleet = tripped()
    fleet.wait(30)
    first = the_probe(fleet)
    fleet.says(first, "closed")

    assert isinstance(fleet.says(first, "open"), Hold)
    assert fleet.case is not None
    assert fleet.case.excepted == ()


def test_probes_without_calls_time_out_and_others_take_their_turn():
    fleet = tripped()
    tried = []
    for _ in range(6):
        assert fleet.case is not None
        assert fleet.case.until is not None
        fleet.wait((fleet.case.until - fleet.now).total_seconds())
        tried.append(the_probe(fleet))
        assert fleet.case is not None
        assert fleet.case.until is not None
        assert isinstance(fleet.wait((fleet.case.until - fleet.now).total_seconds()), Hold)

    assert set(tried[:3]) == set("abc")
    assert tried[3:] == tried[:3]


def test_the_same_is_chosen_by_whoever_decides():
    assert len({the_probe(waited) for waited in (tripped(), tripped()) if waited.wait(30)}) == 1


def test_a_lost_probe_is_replaced_in_what_is_left_of_its_time():
    fleet = tripped()
    fleet.wait(30)
    first = the_probe(fleet)
    assert fleet.case is not None
    until = fleet.case.until
    fleet.wait(5)

    replaced = fleet.loses(first)

    assert isinstance(replaced, Probe)
    assert first not in replaced.probes
    assert replaced.until == until


def test_with_nobody_connected_to_probe_with_it_holds_on():
    fleet = tripped()
    fleet.away = set("abcde")

    assert isinstance(fleet.wait(30), Hold)


def test_with_no_live_instance_left_it_lets_go():
    fleet = tripped()

    assert fleet.loses(*"abcde") == Release("No live instance is left.")


def test_with_every_own_breaker_closed_it_lets_go_unprobed():
    fleet = tripped()
    for name in "abc":
        fleet.says(name, "closed")

    assert isinstance(fleet.wait(30), Release)


def test_an_agent_that_does_not_tell_what_it_would_be_is_probed_too():
    fleet = tripped()
    for name in "abc":
        fleet.natural[name] = State.FORCED_OPEN

    assert isinstance(fleet.wait(30), Probe)


def test_several_are_let_through_at_once_and_never_more_than_are_needed():
    fleet = tripped(Terms(count=3, hold=30, probes=5, successes=2))
    fleet.wait(30)

    assert isinstance(fleet.last, Probe)
    assert len(fleet.last.probes) == 2


def test_reasons_stay_short_however_many_are_probed():
    names = [f"{number:03}-{'x' * 190}" for number in range(100)]
    fleet = Fleet(Terms(count=50, hold=30, probes=90, successes=90), names)
    for name in names:
        fleet.says(name, "open")

    probe, again = fleet.wait(30), fleet.wait(30)

    assert isinstance(probe, Probe)
    assert isinstance(again, Hold)
    assert len(probe.probes) == 90
    assert "and 87 more" in probe.text
    assert max(len(probe.text), len(again.text)) < 2000


def test_towards_the_end_no_more_are_let_through_than_are_missing():
    fleet = tripped(Terms(count=3, hold=30, probes=2, successes=3), "abcdef", "abcdef")
    fleet.wait(30)
    for _ in range(2):
        assert fleet.case is not None
        fleet.says(fleet.case.probes[0], "closed")

    assert fleet.case is not None
    assert (len(fleet.case.recovered), len(fleet.case.probes)) == (2, 1)


@pytest.mark.parametrize(
    ("hold", "lasts"),
    [
        (60, [60, 120, 240, 240]),
        (1000, [1000, 2000, 3600, 3600]),
        (3600, [3600, 3600]),
    ],
)
def test_holds_grow_and_have_a_bound(hold: int, lasts: list[int]):
    terms = Terms(count=2, hold=hold)

    assert [terms.hold_s(again) for again in range(len(lasts))] == lasts
    assert terms.hold_s(10_000) == lasts[-1]


def test_what_counted_before_a_hold_that_ended_counts_no_more():
    fleet = tripped()
    assert fleet.case is not None

    assert lapse(fleet.case) == Case(began_at=fleet.case.began_at)


def test_a_first_look_at_what_is_closed_begins_with_nothing():
    nobody = BreakerView(1, "prod", "orders", "catalog", None, ())

    assert begin(nobody, T0) == Case(began_at=T0)


class Machine(RuleBasedStateMachine):
    """Whatever a fleet does: nothing is held without enough openings, for ever, or for longer than allowed."""

    names = string.ascii_lowercase[:6]

    def __init__(self) -> None:
        super().__init__()
        self.terms = Terms(count=3, window=30, hold=10, probes=2, successes=2)
        self.fleet = Fleet(self.terms, self.names)
        self.opened: dict[str, float] = {}
        self.clock = 0.0

    def _may_move(self, name: str) -> bool:
        # A forced instance sees no calls, so its own breaker stands still; a lost one says nothing.
        return name not in self.fleet.forced | self.fleet.lost

    @rule(name=st.sampled_from(names), to=st.sampled_from(["open", "half_open", "closed"]))
    def an_instance_moves(self, name: str, to: str) -> None:
        self.moves(name, to)

    def moves(self, name: str, to: str) -> None:
        fleet = self.fleet
        was = fleet.natural[name]
        if not self._may_move(name) or (to == "half_open" and was is not State.OPEN):
            return
        held = fleet.phase
        if to == "open" and was is not State.OPEN:
            self.opened[name] = self.clock
        if to == "closed":
            self.opened.pop(name, None)
        fleet.says(name, to)
        self._check(held)

    @rule(which=st.sets(st.sampled_from(names), min_size=3))
    def many_open(self, which: set[str]) -> None:
        for name in sorted(which):
            self.moves(name, "open")

    @precondition(lambda self: self.fleet.phase == "probing")
    @rule(to=st.sampled_from(["closed", "closed", "open"]))
    def a_probe_answers(self, to: str) -> None:
        assert self.fleet.case is not None
        name = self.fleet.case.probes[0]
        self.moves(name, "half_open")
        self.moves(name, to)

    @precondition(lambda self: self.fleet.phase in ("holding", "probing"))
    @rule()
    def its_time_comes(self) -> None:
        assert self.fleet.case is not None
        assert self.fleet.case.until is not None
        self.waits(max(0, int((self.fleet.case.until - self.fleet.now).total_seconds())))

    @rule(for_s=st.sampled_from([1, 5, 10, 20, 40]))
    def time_passes(self, for_s: int) -> None:
        self.waits(for_s)

    def waits(self, for_s: int) -> None:
        held = self.fleet.phase
        self.clock += for_s
        self.fleet.wait(for_s)
        self._check(held)

    @rule(name=st.sampled_from(names))
    def is_lost(self, name: str) -> None:
        held = self.fleet.phase
        self.fleet.loses(name)
        self._check(held)

    @rule(name=st.sampled_from(names))
    def is_back(self, name: str) -> None:
        if name not in self.fleet.lost:
            return
        held = self.fleet.phase
        before = self.fleet.view()
        self.fleet.lost.discard(name)
        self.fleet.since[name] = self.fleet.now
        if self.fleet.natural[name] is State.OPEN:
            self.opened[name] = self.clock
        self.fleet.judge(before, [(self.fleet.now, self.fleet._one(name))])
        self._check(held)

    @precondition(lambda self: self.fleet.phase in ("holding", "probing"))
    @rule()
    def a_person_ends_it(self) -> None:
        fleet = self.fleet
        assert fleet.case is not None
        fleet.case, fleet.forced = lapse(fleet.case), set()
        self.opened.clear()

    def _check(self, was: str) -> None:
        decision = self.fleet.last
        if was in ("none", "watching") and isinstance(decision, Hold):
            recent = [at for at in self.opened.values() if at >= self.clock - self.terms.window]
            assert len(recent) >= 3, "held with too few openings"
        if isinstance(decision, Release):
            self.opened.clear()
        if isinstance(decision, Hold | Probe):
            lasts = (decision.until - self.fleet.now).total_seconds()
            assert 0 < lasts <= min(BACK_OFF_AT_MOST * self.terms.hold, HOLD_AT_MOST_S)

    @invariant()
    def a_hold_has_an_end_and_is_asked_about_then(self) -> None:
        case = self.fleet.case
        if case is not None and case.phase is not Phase.WATCHING:
            assert case.until is not None
            if isinstance(self.fleet.last, Wait):
                assert self.fleet.last.until == case.until

    @invariant()
    def few_are_let_through(self) -> None:
        case = self.fleet.case
        if case is not None and case.phase is Phase.PROBING:
            assert len(case.probes) <= self.terms.probes
            assert len(case.excepted) <= self.terms.successes
            assert not set(case.probes) & set(case.recovered)

    @invariant()
    def nothing_is_forced_while_it_watches(self) -> None:
        if self.fleet.phase in ("none", "watching"):
            assert self.fleet.forced == set()

    def teardown(self) -> None:
        """Whatever has happened: once the dependency is well again, all are released in a bounded time."""
        fleet = self.fleet
        fleet.lost.clear()
        for _ in range(200):
            if fleet.phase == "none":
                break
            for name in self.names:
                if self._may_move(name) and fleet.natural[name] is not State.CLOSED:
                    fleet.says(name, "closed")
            fleet.wait(10)
        assert fleet.phase == "none"


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
