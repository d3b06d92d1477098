"""In a storm the same incidents change with each claim; sockets hear of each at once, then each half second."""

from __future__ import annotations

from typing import Any

import pytest

from alerts.announce import announce, tell_due, told_together
from alerts.evaluate import evaluate_pending
from alerts.models import Incident
from tests.support.make import happens, make_breaker, make_rule

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The breakers of each incident that was told of, in order."""
    told: list[list[str]] = []

    def note(incident: dict[str, Any], *_: object) -> None:
        told.append(incident["breakers"])

    monkeypatch.setattr("alerts.announce.announce_incident", note)
    monkeypatch.setattr("alerts.announce.EVERY_S", 60.0)
    return told


def begun() -> Incident:
    make_rule()
    happens(make_breaker("catalog", target="catalog"), "open")
    evaluate_pending()
    return Incident.objects.get()


def test_what_follows_closely_is_told_once_and_at_the_end(told: list[list[str]]) -> None:
    incident = begun()
    del told[:]

    with told_together():
        announce([incident])
        assert len(told) == 1
        for _ in range(5):
            announce([incident])
        assert len(told) == 1

    assert len(told) == 2


def test_what_waits_is_told_when_its_time_has_come(
    told: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    incident = begun()
    with told_together():
        announce([incident])
        announce([incident])
        del told[:]
        tell_due()
        assert not told
        monkeypatch.setattr("alerts.announce.EVERY_S", 0.0)
        monkeypatch.setattr("alerts.announce.REST", 1e9)
        tell_due()
        assert not told
        monkeypatch.setattr("alerts.announce.REST", 0)

        tell_due()

        assert len(told) == 1


def test_what_was_told_already_is_not_told_again_at_the_end(told: list[list[str]]) -> None:
    incident = begun()
    del told[:]

    with told_together():
        announce([incident])

    assert len(told) == 1


def test_a_failure_to_tell_fails_nothing_else(
    told: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    incident = begun()

    def fail(*_: object) -> None:
        raise ConnectionError

    monkeypatch.setattr("alerts.announce.announce_incident", fail)
    with told_together():
        announce([incident])
        announce([incident])
