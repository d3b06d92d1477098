from __future__ import annotations

from datetime import timedelta

import pytest

from alerts.channels import Failed, Sent
from alerts.retry import Dead, Done, RetryAt, next_step
from tests.alerts.views import T0

GIVE_UP = T0 + timedelta(hours=72)


def wait_s(attempts: int, *, luck: float = 0.5, retry_after: float | None = None) -> float:
    outcome = Failed(503, "Answered 503.", retry_after=retry_after)
    step = next_step(outcome, attempts=attempts, give_up_at=GIVE_UP, now=T0, luck=luck)
    assert isinstance(step, RetryAt)
    return (step.at - T0).total_seconds()


@pytest.mark.parametrize(
    ("attempts", "wait"),
    [(1, 2), (2, 10), (3, 60), (4, 300), (5, 1800), (6, 3600), (7, 3600), (70, 3600)],
)
def test_waits_are_the_contracts(attempts: int, wait: float):
    assert wait_s(attempts) == wait


def test_waits_are_jittered_by_a_fifth():
    assert wait_s(2, luck=0) == pytest.approx(8)
    assert wait_s(2, luck=1) == pytest.approx(12)


def test_a_receiver_may_ask_for_more_time_but_not_for_less():
    assert wait_s(1, retry_after=120) == 120
    assert wait_s(4, retry_after=1) == 300


def test_a_receiver_that_asks_for_more_than_there_is_gets_one_last_try():
    assert wait_s(1, retry_after=90 * 3600) == 72 * 3600


def test_after_72_hours_it_is_dead():
    step = next_step(
        Failed(500, ""), attempts=60, give_up_at=T0 + timedelta(seconds=60), now=T0, luck=0.5
    )
    assert isinstance(step, Dead)


@pytest.mark.parametrize(
    "outcome", [Failed(410, "", gone=True), Failed(550, "", final=True)], ids=["gone", "final"]
)
def test_what_cannot_succeed_is_dead_at_once(outcome: Failed):
    assert isinstance(next_step(outcome, attempts=1, give_up_at=GIVE_UP, now=T0, luck=0.5), Dead)


def test_what_was_sent_is_done():
    assert next_step(Sent(204, ""), attempts=3, give_up_at=T0, now=T0, luck=0.5) == Done()
