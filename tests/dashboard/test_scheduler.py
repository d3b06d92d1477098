"""Beat's ticks: all due at the start, and without a backlog while no worker runs."""

from __future__ import annotations

import socket
from datetime import timedelta

import pytest
import redis
from django.conf import settings

from dashboard.celery import app
from dashboard.scheduler import BACKLOG_KEPT, BACKLOG_MAX, TickScheduler
from dashboard.signs import KEY_PREFIX, any_sign, sign_of


def test_everything_is_due_at_the_start() -> None:
    scheduler = TickScheduler(app)

    assert len(scheduler.schedule) == len(app.conf.beat_schedule)
    assert all(entry.is_due().is_due for entry in scheduler.schedule.values())


def test_a_clock_that_is_set_back_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    at = app.now()
    monkeypatch.setattr(app, "now", lambda: at)
    scheduler = TickScheduler(app)
    sent: list[str] = []
    monkeypatch.setattr(scheduler, "apply_async", lambda entry, **_: sent.append(entry.name))

    def ticks() -> set[str]:
        sent.clear()
        for _ in range(len(scheduler.schedule) + 1):
            scheduler.tick()
        return set(sent)

    assert ticks() == set(scheduler.schedule)
    assert ticks() == set()
    at -= timedelta(hours=1)
    assert ticks() == set(scheduler.schedule)
    assert ticks() == set()


def test_the_name_of_a_sign_outlives_that_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    before = sign_of("beat", pid=7)
    monkeypatch.setattr(socket, "gethostname", lambda: "another")

    assert sign_of("beat", pid=7) == before


def test_a_tick_gives_a_sign_of_life_and_trims_what_nobody_took() -> None:
    scheduler = TickScheduler(app)
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.rpush(f"{KEY_PREFIX}evaluate", *range(BACKLOG_MAX + 1))

        for _ in scheduler.schedule:
            scheduler.tick()

        assert client.exists(any_sign("beat"))
        # What was kept, and the ticks that were just sent.
        assert (
            BACKLOG_KEPT
            <= client.llen(f"{KEY_PREFIX}evaluate")
            <= BACKLOG_KEPT + len(scheduler.schedule)
        )
        client.delete(f"{KEY_PREFIX}evaluate", f"{KEY_PREFIX}deliver")
