"""From the outbox to incidents, on a real database."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from alerts.due import sweep
from alerts.evaluate import evaluate_pending
from alerts.incidents import acknowledge_incident, resolve_incident
from alerts.models import Incident, IncidentBreaker, Standing
from breakers.clock import database_now
from breakers.models import BreakerInstance, Instance, OutboxRow
from tests.support.make import happens, make_actor, make_breaker, make_instance, make_rule

pytestmark = pytest.mark.django_db


def statuses() -> list[str]:
    return [one.status.value for one in Incident.objects.order_by("id")]


def test_an_opened_breaker_fires_and_a_closed_one_resolves():
    make_rule("any open")
    breaker = make_breaker("catalog", service="orders")

    happens(breaker, "open")
    evaluate_pending()

    incident = Incident.objects.get()
    assert incident.status == "firing"
    assert incident.summary == "orders/catalog opened in prod"
    assert incident.target == "catalog"

    happens(breaker, "closed")
    evaluate_pending()

    incident.refresh_from_db()
    assert incident.status == "resolved"
    assert not OutboxRow.objects.exists()
    assert not Standing.objects.exists()


def test_a_blip_within_one_claim_fires_and_resolves():
    make_rule()
    breaker = make_breaker()

    happens(breaker, "open")
    happens(breaker, "closed")
    evaluate_pending()

    assert statuses() == ["resolved"]


def test_two_blips_within_one_claim_are_two_incidents():
    make_rule()
    breaker = make_breaker()

    for state in ("open", "closed", "open", "closed", "open"):
        happens(breaker, state)
    evaluate_pending()

    assert statuses() == ["resolved", "resolved", "firing"]


def test_a_repeated_opening_joins_what_fires():
    make_rule()
    breaker = make_breaker(instances=("a", "b"))

    happens(breaker, "open", instance="a")
    evaluate_pending()
    happens(breaker, "open", instance="b")
    happens(breaker, "open", instance="a")
    evaluate_pending()

    assert statuses() == ["firing"]
    assert IncidentBreaker.objects.count() == 1


def test_half_open_neither_fires_nor_resolves():
    make_rule()
    breaker = make_breaker(state="half_open")

    happens(breaker, "half_open")
    evaluate_pending()
    assert statuses() == []

    happens(breaker, "open")
    evaluate_pending()
    happens(breaker, "half_open")
    evaluate_pending()
    assert statuses() == ["firing"]


def test_one_instance_still_open_keeps_it_firing():
    make_rule()
    breaker = make_breaker(instances=("a", "b"))

    happens(breaker, "open", instance="a")
    happens(breaker, "open", instance="b")
    happens(breaker, "closed", instance="a")
    evaluate_pending()

    assert statuses() == ["firing"]


def test_forced_open_is_not_opened_but_its_natural_state_is():
    make_rule()
    breaker = make_breaker()

    happens(breaker, "forced_open")
    evaluate_pending()
    assert statuses() == []

    happens(breaker, "forced_open", natural_state="open")
    evaluate_pending()
    assert statuses() == ["firing"]


def test_a_lost_instance_resolves_nothing_until_one_is_left_to_say_so():
    make_rule()
    breaker = make_breaker()
    happens(breaker, "open")
    evaluate_pending()

    happens(breaker, "unknown")
    Instance.objects.update(lost_at=timezone.now())
    evaluate_pending()
    assert statuses() == ["firing"]

    make_instance(breaker, "another")
    happens(breaker, "closed", instance="another")
    evaluate_pending()
    assert statuses() == ["resolved"]


def test_an_instance_that_retired_open_no_longer_counts():
    make_rule()
    breaker = make_breaker(instances=("a", "b"))
    happens(breaker, "open", instance="a")
    evaluate_pending()

    Instance.objects.filter(name="a").update(retired_at=timezone.now())
    happens(breaker, "open", instance="a")
    evaluate_pending()

    assert statuses() == ["resolved"]


def test_a_breaker_that_its_instance_no_longer_has_no_longer_counts():
    make_rule()
    breaker = make_breaker(instances=("a", "b"))
    happens(breaker, "open", instance="a")
    evaluate_pending()
    assert statuses() == ["firing"]

    BreakerInstance.objects.filter(instance__name="a").update(left_at=timezone.now())
    OutboxRow.objects.create(breaker_id=breaker.pk)
    evaluate_pending()

    assert statuses() == ["resolved"]


def test_what_is_told_of_it_after_it_left_fires_nothing():
    make_rule()
    breaker = make_breaker(instances=("a", "b"))
    OutboxRow.objects.create(breaker_id=breaker.pk)
    BreakerInstance.objects.filter(instance__name="a").update(left_at=timezone.now())

    happens(breaker, "open", instance="a")
    evaluate_pending()

    assert statuses() == []


def test_a_late_event_fires_nothing():
    make_rule()
    breaker = make_breaker()

    happens(breaker, "open", late=True)
    evaluate_pending()

    assert statuses() == []
    assert not OutboxRow.objects.exists()


def test_breakers_of_one_target_share_an_incident_and_resolve_together():
    make_rule()
    first = make_breaker(service="orders", target="catalog")
    second = make_breaker(service="search", target="catalog")

    happens(first, "open")
    evaluate_pending()
    happens(second, "open")
    evaluate_pending()

    incident = Incident.objects.get()
    assert incident.summary == "catalog: 2 breakers of 2 services opened in prod"
    assert incident.update_at is not None

    happens(first, "closed")
    evaluate_pending()
    assert statuses() == ["firing"]
    happens(second, "closed")
    evaluate_pending()
    assert statuses() == ["resolved"]


def test_in_one_claim_too_breakers_of_one_target_share_an_incident():
    make_rule()
    first, second = make_breaker(), make_breaker()

    happens(first, "open")
    happens(second, "open")
    happens(first, "closed")
    happens(second, "closed")
    evaluate_pending()

    assert statuses() == ["resolved"]
    assert Incident.objects.get().breakers_total == 2


@pytest.mark.parametrize(
    ("group_by", "incidents"),
    [
        (["target"], 2),  # catalog in prod, catalog in staging
        (["service"], 3),
        (["environment"], 2),
        (["breaker"], 2),
        (["instance"], 3),
        (["target", "service"], 3),
    ],
)
def test_grouping_never_crosses_environments(group_by: list[str], incidents: int):
    make_rule(group_by=group_by)
    for service, environment, instances in (
        ("orders", "prod", ("a", "b")),
        ("search", "prod", ("a",)),
        ("orders", "staging", ("a",)),
    ):
        breaker = make_breaker(
            "catalog", service=service, environment=environment, instances=instances
        )
        for instance in instances:
            happens(breaker, "open", instance=instance)
    evaluate_pending()

    assert Incident.objects.count() == incidents


def test_breakers_without_a_target_stand_for_themselves():
    make_rule()
    for breaker in (make_breaker(target=None), make_breaker(target=None)):
        happens(breaker, "open")
    evaluate_pending()

    assert Incident.objects.count() == 2


def test_grouped_by_instance_each_instance_resolves_by_itself():
    make_rule(group_by=["instance"])
    breaker = make_breaker(instances=("a", "b"))

    happens(breaker, "open", instance="a")
    happens(breaker, "open", instance="b")
    happens(breaker, "closed", instance="a")
    evaluate_pending()

    assert sorted(statuses()) == ["firing", "resolved"]


def test_matchers_choose_by_labels_of_the_instance():
    make_rule(matchers=['zone="a"', 'service=~"ord.*"'])
    breaker = make_breaker(instances=())
    make_instance(breaker, "in-a", labels={"zone": "a"})
    make_instance(breaker, "in-b", labels={"zone": "b"})

    happens(breaker, "open", instance="in-b")
    evaluate_pending()
    assert statuses() == []

    happens(breaker, "open", instance="in-a")
    evaluate_pending()
    assert statuses() == ["firing"]


def test_a_disabled_rule_fires_nothing_and_a_dry_run_is_muted():
    make_rule("off", enabled=False)
    make_rule("dry", dry_run=True)
    happens(make_breaker(), "open")
    evaluate_pending()

    assert Incident.objects.get().muted


def test_clear_for_waits_and_a_relapse_starts_it_again():
    make_rule(clear_for=60)
    breaker = make_breaker()
    happens(breaker, "open")
    happens(breaker, "closed")
    evaluate_pending()
    assert statuses() == ["firing"]

    sweep(database_now() + timedelta(seconds=59))
    assert statuses() == ["firing"]

    happens(breaker, "open")
    evaluate_pending()
    sweep(database_now() + timedelta(seconds=120))
    assert statuses() == ["firing"]

    happens(breaker, "closed")
    evaluate_pending()
    sweep(database_now() + timedelta(seconds=61))
    assert statuses() == ["resolved"]


def test_rows_that_waited_long_are_judged_in_their_own_time():
    make_rule(clear_for=30)
    breaker = make_breaker()
    begin = timezone.now() - timedelta(minutes=5)

    happens(breaker, "open", at=begin)
    happens(breaker, "closed", at=begin + timedelta(seconds=1))
    happens(breaker, "open", at=begin + timedelta(seconds=60))
    evaluate_pending()

    first, second = Incident.objects.order_by("id")
    assert first.resolved_at == begin + timedelta(seconds=31)
    assert second.status == "firing"


def test_nothing_clears_while_something_is_still_to_be_judged():
    make_rule(clear_for=60)
    breaker = make_breaker()
    happens(breaker, "open")
    happens(breaker, "closed")
    evaluate_pending()

    happens(breaker, "open")
    sweep(database_now() + timedelta(seconds=120))

    assert statuses() == ["firing"]


def test_resolved_by_hand_it_stays_resolved_until_a_further_instance_opens():
    make_rule()
    breaker = make_breaker(instances=("a", "b"))
    happens(breaker, "open", instance="a")
    evaluate_pending()
    resolve_incident(Incident.objects.get().pk, by=make_actor(), note="", now=timezone.now())

    happens(breaker, "open", instance="a")
    evaluate_pending()
    assert statuses() == ["resolved"]

    happens(breaker, "open", instance="b")
    evaluate_pending()
    assert statuses() == ["resolved", "firing"]


def test_resolved_by_hand_it_fires_again_after_it_was_well():
    make_rule()
    breaker = make_breaker()
    happens(breaker, "open")
    evaluate_pending()
    resolve_incident(Incident.objects.get().pk, by=make_actor(), note="", now=timezone.now())

    happens(breaker, "closed")
    happens(breaker, "open")
    evaluate_pending()

    assert statuses() == ["resolved", "firing"]


def test_an_acknowledged_incident_resolves_too():
    make_rule()
    breaker = make_breaker()
    happens(breaker, "open")
    evaluate_pending()
    acknowledge_incident(Incident.objects.get().pk, by=make_actor(), note="", now=timezone.now())
    assert statuses() == ["acknowledged"]

    happens(breaker, "closed")
    evaluate_pending()

    assert statuses() == ["resolved"]


def test_a_breaker_whose_target_changed_moves_to_another_incident():
    make_rule()
    breaker = make_breaker(target="catalog")
    happens(breaker, "open")
    evaluate_pending()

    breaker.target = "catalog-v2"
    breaker.save()
    happens(breaker, "open")
    evaluate_pending()

    first, second = Incident.objects.order_by("id")
    assert (first.status, first.target) == ("resolved", "catalog")
    assert (second.status, second.target) == ("firing", "catalog-v2")


def test_rows_of_a_breaker_that_is_gone_do_not_stay_for_ever():
    breaker = make_breaker()
    row = happens(breaker, "open")
    row.pk, row.breaker_id = None, 10**9
    row.save()

    evaluate_pending()
    evaluate_pending()

    assert not OutboxRow.objects.exists()


def test_a_breaker_whose_instances_all_retired_is_judged_once_and_for_all():
    breaker = make_breaker(state="open")
    Instance.objects.update(retired_at=timezone.now())
    # As a new rule asks about every breaker there is.
    Standing.objects.create(rule=make_rule(), breaker=breaker, check_at=timezone.now())

    assert evaluate_pending() == 1

    assert statuses() == []
    assert evaluate_pending() == 0, "it is asked about again and again"


@pytest.mark.parametrize("how", ["lost", "retired"])
def test_who_was_well_when_it_went_holds_no_incident_open(how: str):
    make_rule()
    first, second = (make_breaker("catalog", service=name) for name in ("orders", "feed"))
    for breaker in (first, second):
        happens(breaker, "open")
    happens(first, "closed")
    evaluate_pending()
    gone = Instance.objects.filter(service=first.service)
    if how == "lost":
        gone.update(lost_at=database_now(), connected=False)
        happens(first, "unknown")
    else:
        gone.update(retired_at=database_now(), connected=False)
        happens(first, "closed")
    evaluate_pending()
    assert statuses() == ["firing"]

    happens(second, "closed")
    evaluate_pending()

    assert statuses() == ["resolved"]
