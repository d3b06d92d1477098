from __future__ import annotations

import msgspec
import pytest
from django.utils import timezone

from alerts.evaluate import evaluate_pending
from alerts.models import Delivery, Incident
from alerts.rule_changes import RuleWish, create_rule
from alerts.rules.break_glass import BreakGlass
from alerts.verdicts import Firing, Quiet
from breakers.clock import database_now
from breakers.desired.override import OverrideWish, override_breaker, release_breaker
from breakers.desired.permit import Permit
from breakers.models import Breaker, Instance, OutboxRow
from breakers.states import Mode
from tests.alerts.views import T0, instance, view
from tests.support.make import make_actor, make_breaker, make_channel, make_rule

GLASS_ROWS = OutboxRow.objects.exclude(override_id=None, before_override_id=None)
PAST = "forced open by ada past max_forced_percent"


def force(breaker: Breaker, *, broke: str | None = None, name: str = "ada") -> None:
    override_breaker(
        breaker,
        wish=OverrideWish(mode=Mode.FORCED_OPEN, reason="fire", expires_at=None),
        by=make_actor(name=name),
        now=timezone.now(),
        permit=Permit(broke={breaker.pk: broke} if broke else {}),
    )


def release(breaker: Breaker) -> None:
    release_breaker(breaker, reason="out", by=make_actor(), now=timezone.now())


def statuses() -> list[str]:
    return [one.status.value for one in Incident.objects.order_by("id")]


def test_it_fires_while_such_an_override_stands_whatever_the_instances_are() -> None:
    broken = msgspec.structs.replace(view(instance("closed", live=False)), broken=PAST)

    assert BreakGlass().judge(broken, T0) == Firing(PAST)
    assert BreakGlass().judge(view(instance("forced_open", live=False)), T0) == Quiet()
    assert BreakGlass().judge(view(), T0) == Quiet()


@pytest.mark.django_db
def test_broken_glass_fires_until_the_override_is_released() -> None:
    make_rule(kind="break_glass")
    breaker = make_breaker("catalog")

    force(breaker, broke="max_forced_percent")
    evaluate_pending()

    assert Incident.objects.get().summary == f"orders/catalog {PAST} in prod"
    assert statuses() == ["firing"]

    release(breaker)
    evaluate_pending()

    assert statuses() == ["resolved"]
    assert not OutboxRow.objects.exists()


@pytest.mark.django_db
def test_what_was_broken_and_released_before_anybody_judged_is_told_all_the_same() -> None:
    make_rule(kind="break_glass")
    breaker = make_breaker()

    force(breaker, broke="max_forced_percent")
    release(breaker)
    evaluate_pending()

    assert statuses() == ["resolved"]


@pytest.mark.django_db
def test_instances_that_went_meanwhile_do_not_hide_it() -> None:
    make_rule(kind="break_glass")
    breaker = make_breaker()

    force(breaker, broke="max_forced_percent")
    Instance.objects.update(retired_at=timezone.now())
    evaluate_pending()

    assert statuses() == ["firing"]


@pytest.mark.django_db
def test_another_override_in_its_place_does_not_mend_the_glass() -> None:
    make_rule(kind="break_glass")
    breaker = make_breaker()

    force(breaker, broke="max_forced_percent")
    evaluate_pending()
    force(breaker, name="bob")
    evaluate_pending()

    assert statuses() == ["firing"]


@pytest.mark.django_db
def test_overrides_within_the_guards_concern_nobody() -> None:
    make_rule(kind="break_glass")
    breaker = make_breaker()

    force(breaker)
    release(breaker)

    assert not GLASS_ROWS.exists()
    evaluate_pending()
    assert statuses() == []


@pytest.mark.django_db
def test_a_new_rule_finds_the_glass_that_is_broken_already() -> None:
    breaker = make_breaker()
    force(breaker, broke="max_forced_percent")
    evaluate_pending()
    assert not OutboxRow.objects.exists()

    create_rule(
        RuleWish(
            name="glass",
            enabled=True,
            kind=BreakGlass(),
            matchers=(),
            severity="critical",
            channels=(),
            group_by=("target",),
            clear_for=0,
            dry_run=False,
            runbook_url=None,
        ),
        by=make_actor(),
        now=database_now(),
    )
    evaluate_pending()

    assert statuses() == ["firing"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("group_by", "incidents"), [(["target"], 3), (["service"], 1), (["environment"], 1)]
)
def test_one_act_on_many_breakers_is_one_incident_where_the_rule_groups_so(
    group_by: list[str], incidents: int
) -> None:
    make_rule(kind="break_glass", group_by=group_by, channels=[make_channel()])
    many = [make_breaker(target=None) for _ in range(3)]
    for breaker in many:
        force(breaker, broke="max_forced_percent")
    evaluate_pending()

    assert [one.breakers_total for one in Incident.objects.all()] == [3 // incidents] * incidents
    assert Delivery.objects.count() == incidents
