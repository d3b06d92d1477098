"""Conditions that come true by time alone: a row with a due time asks the rule again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from alerts.evaluate import evaluate_pending
from alerts.models import Incident, Standing
from alerts.rules import RuleKind, rule_kinds
from alerts.verdicts import CheckAt, Firing, InstanceView, Quiet, Verdict
from breakers.clock import database_now
from breakers.states import State
from tests.support.make import happens, make_breaker, make_rule

pytestmark = pytest.mark.django_db
WAIT = timedelta(minutes=5)


class Patient(RuleKind, frozen=True):
    """Fires once a breaker has been open for five minutes."""

    kind = "patient"

    def judge_instance(self, seen: InstanceView, now: datetime) -> Verdict:
        if seen.natural is not State.OPEN:
            return Quiet()
        assert seen.since is not None
        due = seen.since + WAIT
        return Firing("stayed open") if now >= due else CheckAt(due)


class Broken(RuleKind, frozen=True):
    """Fails whenever it is asked."""

    kind = "broken"

    def judge_instance(self, seen: InstanceView, now: datetime) -> Verdict:
        raise RuntimeError("a mistake in a plug-in")


@pytest.fixture(autouse=True)
def kinds(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    known = {**rule_kinds._kinds, "patient": Patient, "broken": Broken}
    monkeypatch.setattr(rule_kinds, "_kinds", known)
    return iter(())


def time_passes(by: timedelta) -> None:
    """What happened is as much longer ago, and what is due comes as much sooner."""
    from breakers.models import BreakerInstance

    for held in BreakerInstance.objects.all():
        held.since -= by
        held.save()
    for row in Standing.objects.exclude(check_at=None):
        row.check_at -= by
        row.save()


def test_it_fires_when_its_time_has_come_though_nothing_happens():
    make_rule(kind="patient")
    happens(make_breaker(), "open")
    evaluate_pending()
    assert not Incident.objects.exists()
    assert Standing.objects.get().check_at > database_now() + timedelta(minutes=4)

    evaluate_pending()
    assert not Incident.objects.exists()

    time_passes(WAIT)
    evaluate_pending()
    assert Incident.objects.get().status == "firing"
    assert Standing.objects.get().check_at is None


def test_well_before_its_time_it_never_fires():
    make_rule(kind="patient")
    breaker = make_breaker()
    happens(breaker, "open")
    evaluate_pending()
    happens(breaker, "closed")
    evaluate_pending()

    time_passes(WAIT)
    evaluate_pending()

    assert not Incident.objects.exists()
    assert not Standing.objects.exists()


def test_a_kind_that_fails_stops_no_other_rule():
    make_rule(kind="broken")
    make_rule(kind="no longer installed")
    make_rule("good")
    happens(make_breaker(), "open")

    evaluate_pending()

    assert [one.rule_name for one in Incident.objects.all()] == ["good"]


def test_what_came_due_while_nobody_judged_fires_in_its_own_time():
    make_rule(kind="patient")
    breaker = make_breaker()
    begin = database_now() - timedelta(minutes=10)
    row = happens(breaker, "open", at=begin)
    row.since = begin
    row.save()
    happens(breaker, "closed", at=begin + timedelta(minutes=6))

    evaluate_pending()

    incident = Incident.objects.get()
    assert incident.started_at == begin + WAIT
    assert incident.resolved_at == begin + timedelta(minutes=6)
