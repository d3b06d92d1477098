from __future__ import annotations

import threading

from alerts.pace import BRIEF_S, REST_MIN_S, Pace
from tests.support.eventually import eventually


def test_a_brief_look_is_followed_by_no_rest():
    rests: list[float] = []

    Pace(lambda: None, rest=rests.append).run()

    assert rests == []


def test_whoever_asks_during_a_look_is_looked_for_once_more_and_does_not_wait():
    looking, go_on = threading.Event(), threading.Event()
    looks: list[int] = []

    def look() -> None:
        looks.append(threading.get_ident())
        looking.set()
        assert go_on.wait(10)

    pace = Pace(look, rest=lambda _: None)
    first = threading.Thread(target=pace.run)
    first.start()
    assert looking.wait(10)

    for _ in range(5):
        pace.run()
    go_on.set()
    first.join(10)

    assert looks == [first.ident] * 2


def test_a_long_look_is_followed_by_a_rest_in_which_others_return_at_once():
    rested, rests = threading.Event(), []

    def rest(seconds: float) -> None:
        rests.append(seconds)
        rested.set()

    slow = threading.Event()
    pace = Pace(lambda: slow.wait(BRIEF_S * 2), rest=rest)
    pace.run()

    assert eventually(rested.is_set)
    assert rests[0] >= REST_MIN_S


def test_a_look_that_fails_lets_the_next_one_in():
    outcomes = iter([RuntimeError("away"), None])

    def look() -> None:
        problem = next(outcomes)
        if problem:
            raise problem

    pace = Pace(look)
    try:
        pace.run()
    except RuntimeError:
        pace.run()

    assert next(outcomes, "nothing is left") == "nothing is left"
