"""A killed worker loses no alert: what was committed is evaluated and told once it is back."""

from __future__ import annotations

from collections.abc import Callable

from pytest_httpserver import HTTPServer

from tests.alerts.test_whole_path import Alerted
from tests.support.eventually import eventually
from tests.support.stack import Stack


def test_what_happens_while_the_worker_is_dead_is_told_once_it_is_back(
    make_stack: Callable[..., Stack], httpserver: HTTPServer
):
    stack = make_stack()
    alerted = Alerted(stack, httpserver)

    for round_ in range(1, 4):
        killed = stack.kill("worker")
        alerted.says("open")
        eventually(lambda: stack.restarted("worker", killed), within=30)  # noqa: B023
        alerted.says("closed")
        eventually(lambda: alerted.types().count("incident.resolved") == round_, within=30)  # noqa: B023

    assert alerted.types() == ["incident.firing", "incident.resolved"] * 3
    assert len(set(alerted.ids)) == len(alerted.ids)


def test_a_lost_redis_delays_alerts_and_loses_none(
    make_stack: Callable[..., Stack], httpserver: HTTPServer
):
    stack = make_stack()
    alerted = Alerted(stack, httpserver)

    killed = stack.kill("redis")
    alerted.says("open")
    alerted.says("closed")
    eventually(lambda: stack.restarted("redis", killed), within=30)

    eventually(lambda: alerted.types() == ["incident.firing", "incident.resolved"], within=30)
