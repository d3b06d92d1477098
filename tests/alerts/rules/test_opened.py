from __future__ import annotations

import pytest

from alerts.rules.opened import Opened
from alerts.verdicts import Firing, Hold, Quiet
from tests.alerts.views import T0, instance, view


@pytest.mark.parametrize(
    ("states", "verdict"),
    [
        (["open"], Firing),
        (["closed"], Quiet),
        (["half_open"], Hold),
        (["forced_open"], Quiet),
        (["forced_closed"], Quiet),
        (["open", "closed"], Firing),
        (["open", "half_open"], Firing),
        (["half_open", "closed"], Hold),
        (["closed", "forced_open"], Quiet),
        ([], Hold),  # nobody is left to say that it is well
    ],
)
def test_the_gravest_live_instance_decides(states: list[str], verdict: type):
    assert isinstance(Opened().judge(view(*map(instance, states)), T0), verdict)


def test_the_natural_state_counts_before_the_state():
    assert isinstance(Opened().judge(view(instance("forced_closed", natural="open")), T0), Firing)
    assert isinstance(Opened().judge(view(instance("forced_open", natural="closed")), T0), Quiet)


@pytest.mark.parametrize("held", ["forced_closed", "forced_open"])
def test_under_an_override_it_says_what_is_natural_and_what_holds_it(held: str):
    verdict = Opened().judge(view(instance(held, natural="open")), T0)

    assert isinstance(verdict, Firing)
    assert verdict.text == f"opened naturally while {held.replace('_', ' ')}"


def test_an_instance_that_is_open_says_more_than_one_that_is_held():
    both = view(instance("forced_closed", natural="open"), instance("open"))

    verdict = Opened().judge(both, T0)

    assert isinstance(verdict, Firing)
    assert (verdict.text, len(verdict.by)) == ("opened", 2)


def test_instances_that_are_not_live_say_nothing():
    gone = instance("open", live=False)

    assert Opened().judge(view(gone), T0) == Hold()
    assert Opened().judge(view(gone, instance("closed")), T0) == Quiet()


def test_it_says_which_instances_match():
    bad, good = instance("open"), instance("closed")

    assert Opened().judge(view(bad, good), T0) == Firing("opened", frozenset({bad.id}))
