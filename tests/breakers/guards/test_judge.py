"""The decision alone: what stands in the way of a call, and that no order or portioning of calls gets past it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakers.guards.judge import (
    MAX_FORCED,
    Asked,
    Forbidden,
    Ground,
    Leave,
    Limits,
    NeedsAnother,
    ServiceSeen,
    Unconfirmed,
    judge,
    most_forced,
)

FORCE = Asked(forces=True)


def ground(
    *touching: int,
    live: int = 4,
    forced: set[int] | None = None,
    touched: set[int] | None = None,
    environment: str = "prod",
    **limits: object,
) -> Ground:
    """A service whose live breakers are 1 to `live`."""
    return Ground(
        environment=environment,
        limits=Limits(**limits),  # type: ignore[arg-type]
        touching=frozenset(touching),
        services=[
            ServiceSeen(
                name="orders",
                live=frozenset(range(1, live + 1)),
                forced=frozenset(forced or ()),
            )
        ],
        touched=frozenset(touched or ()),
    )


@pytest.mark.parametrize(
    ("percent", "live", "most"),
    [
        (50, 4, 2),
        (50, 5, 3),
        (1, 100, 1),
        (1, 101, 2),
        (34, 3, 2),
        (0, 9, 0),
        (100, 7, 7),
        (50, 0, 0),
    ],
)
def test_the_percentage_is_rounded_up(percent: int, live: int, most: int) -> None:
    assert most_forced(percent, live) == most


def test_without_limits_everything_may_be_done() -> None:
    assert judge(FORCE, [ground(1, 2, 3, 4)]) == Leave()


def test_one_more_than_the_percentage_is_forbidden() -> None:
    half = {"max_forced_percent": 50}

    assert judge(FORCE, [ground(2, forced={1}, **half)]) == Leave()
    assert judge(FORCE, [ground(3, forced={1, 2}, **half)]) == Forbidden(
        MAX_FORCED, "prod", "orders", 4, 2, 3
    )


def test_a_breaker_without_a_live_instance_counts_on_neither_side() -> None:
    half = {"max_forced_percent": 50}

    assert judge(FORCE, [ground(2, live=2, forced={1, 9}, **half)]) != Leave()
    assert judge(FORCE, [ground(1, live=2, forced={8, 9}, **half)]) == Leave()
    assert judge(FORCE, [ground(9, live=2, forced={1}, **half)]) == Leave()


def test_what_is_forced_already_may_be_forced_otherwise_even_where_there_are_too_many() -> None:
    assert judge(FORCE, [ground(1, forced={1, 2, 3}, max_forced_percent=50)]) == Leave()


def test_a_command_forces_nothing() -> None:
    command = Asked(forces=False)

    assert judge(command, [ground(1, 2, 3, 4, max_forced_percent=0)]) == Leave()


def test_broken_glass_gets_past_its_guard_and_past_nothing_else() -> None:
    broken = Asked(forces=True, break_glass=MAX_FORCED)
    limits = {"max_forced_percent": 50, "four_eyes_above": 3}

    verdict = judge(broken, [ground(3, 9, forced={1, 2}, **limits)])
    another = judge(broken, [ground(3, forced={1, 2}, touched={1, 2, 4}, **limits)])

    assert isinstance(verdict, Leave)
    assert set(verdict.broken) == {3}
    assert isinstance(another, NeedsAnother)
    assert set(another.leave.broken) == {3}


def test_nothing_is_broken_where_no_guard_forbids() -> None:
    broken = Asked(forces=True, break_glass=MAX_FORCED)

    assert judge(broken, [ground(1, max_forced_percent=50)]) == Leave()


def test_breakers_count_once_however_often_they_are_touched() -> None:
    assert judge(FORCE, [ground(1, touched={1, 2, 3}, four_eyes_above=3)]) == Leave()
    assert isinstance(judge(FORCE, [ground(4, touched={1, 2, 3}, four_eyes_above=3)]), NeedsAnother)
    assert isinstance(judge(FORCE, [ground(1, four_eyes_above=0)]), NeedsAnother)


def test_each_environment_counts_its_own() -> None:
    here, there = ground(1, four_eyes_above=1), ground(2, environment="dev", four_eyes_above=1)

    assert judge(FORCE, [here, there]) == Leave()


def test_the_environment_is_confirmed_by_its_name_and_several_go_one_at_a_time() -> None:
    prod, dev = ground(1, confirm=True), ground(2, environment="dev", confirm=True)

    def said(confirm: str | None) -> Asked:
        return Asked(forces=True, confirm=confirm)

    assert judge(said(None), [prod]) == Unconfirmed(("prod",))
    assert judge(said("Prod"), [prod]) == Unconfirmed(("prod",))
    assert judge(said("prod"), [prod]) == Leave()
    assert judge(said("prod"), [prod, ground(2, environment="dev")]) == Leave()
    assert judge(said("prod"), [prod, dev]) == Unconfirmed(("prod", "dev"))


@given(
    live=st.integers(0, 12),
    percent=st.integers(0, 100),
    above=st.integers(0, 12),
    calls=st.lists(st.frozensets(st.integers(1, 14), min_size=1, max_size=4), max_size=12),
)
def test_no_portioning_of_calls_gets_past_a_guard_or_around_the_other_person(
    live: int, percent: int, above: int, calls: list[frozenset[int]]
) -> None:
    forced: set[int] = set()
    touched: set[int] = set()
    for call in calls:
        seen = ground(
            *call,
            live=live,
            forced=forced,
            touched=touched,
            max_forced_percent=percent,
            four_eyes_above=above,
        )
        if isinstance(judge(FORCE, [seen]), Leave):
            forced |= call
            touched |= call
    assert len([id for id in forced if id <= live]) <= most_forced(percent, live)
    assert len(touched) <= above
