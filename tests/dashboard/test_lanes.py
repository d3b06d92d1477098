"""Lanes keep slow deliveries from the threads of rules (docs/decisions/0001)."""

from __future__ import annotations

import threading

from celery import Celery

from alerts.wake import DELIVER
from breakers.wake import EVALUATE
from dashboard.celery import app as of_the_program
from dashboard.lanes import LANES, Lanes, LaneTask, lanes


def test_a_full_lane_lets_nobody_in_until_somebody_leaves() -> None:
    narrow = Lanes({"deliver": 1})
    answers: list[bool] = []

    def other_thread() -> None:
        answers.append(narrow.enter("deliver", 1.0))

    assert narrow.enter("deliver", 0.0)
    _in_a_thread(other_thread)
    narrow.leave("deliver")
    _in_a_thread(other_thread)

    assert answers == [False, True]


def test_lanes_do_not_wait_for_each_other() -> None:
    both = Lanes({"deliver": 1, "evaluate": 1})

    assert both.enter("deliver", 0.0)
    assert both.enter("evaluate", 0.0)


def test_nothing_but_rules_is_in_the_lane_of_rules_and_nothing_but_messages_in_theirs() -> None:
    of_the_program.loader.import_default_modules()
    lane_of = {
        name: of_the_program.amqp.router.route({}, name)["queue"].name
        for name in of_the_program.tasks
        if name.startswith(("alerts.", "breakers."))
    }

    assert {name for name, lane in lane_of.items() if lane == "evaluate"} == {EVALUATE}
    assert {name for name, lane in lane_of.items() if lane == "deliver"} == {DELIVER}
    assert set(lane_of.values()) == set(LANES)


def test_the_oldest_task_is_known() -> None:
    some = Lanes({})
    assert some.oldest_s(10.0) == 0.0

    some.enter("evaluate", 4.0)
    assert some.oldest_s(10.0) == 6.0
    some.leave("evaluate")
    assert some.oldest_s(10.0) == 0.0


def test_a_task_called_like_a_function_runs_in_no_lane() -> None:
    app = Celery("of this test", task_cls=LaneTask)

    @app.task
    def add(one: int, two: int) -> int:
        assert lanes.oldest_s(float("inf")) == 0.0
        return one + two

    assert add(1, 2) == 3


def _in_a_thread(do: object) -> None:
    assert callable(do)
    thread = threading.Thread(target=do)
    thread.start()
    thread.join()
