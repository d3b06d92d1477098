"""The page of overrides: what stands, what is planned, and many at once."""

from __future__ import annotations

import html
import re
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from breakers.access import Actor
from breakers.desired.override import OverrideWish, override_breaker, release_breaker
from breakers.desired.plan import plan_override
from breakers.guards.calls import OverrideCall
from breakers.guards.leave import make_call
from breakers.models import (
    Breaker,
    BreakerInstance,
    Environment,
    Instance,
    Override,
    PlannedOverride,
    Role,
)
from breakers.states import Mode
from dashboard.pages.episodes import fold
from tests.dashboard.pages.test_pages import signed_in, text_of
from tests.support.make import make_actor, make_breaker

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


def said(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def plan(breaker: Breaker, reason: str) -> None:
    now = timezone.now()
    wish = OverrideWish(
        mode=Mode.FORCED_OPEN, reason=reason, expires_at=now + 3 * HOUR, starts_at=now + 2 * HOUR
    )
    plan_override(breaker, wish=wish, by=make_actor(name="ana"), now=now)


def test_what_is_planned_is_listed_with_what_it_waits_for() -> None:
    first, second = make_breaker(), make_breaker(service="feed")
    plan(first, "they move")
    plan(second, "they rest")
    wish = OverrideWish(mode=Mode.FORCED_CLOSED, reason="newer", expires_at=None)
    override_breaker(second, wish=wish, by=make_actor(name="bo"), now=timezone.now())

    page = said(text_of(signed_in(Role.VIEWER), "/overrides/"))

    assert "1 forced closed. 1 instance cannot obey. 1 without an expiry. 2 planned." in page
    assert re.search(r"forced open they move ana .* in 1 h", page)
    assert re.search(r"they rest ana .* waits for bo’s override to end", page)
    assert "Cancel" not in page


def test_what_was_missed_is_said_for_a_week() -> None:
    plan(make_breaker(), "while we were down")
    ended = timezone.now()
    PlannedOverride.objects.update(end="missed", ended_at=ended)
    viewer = signed_in(Role.VIEWER)

    assert "missed from" in said(text_of(viewer, "/overrides/"))
    PlannedOverride.objects.update(ended_at=ended - timedelta(days=7))
    assert "missed" not in said(text_of(viewer, "/overrides/"))


def test_the_form_for_many_is_for_those_who_may_and_suggests_what_they_see() -> None:
    make_breaker(service="orders", target="catalog", environment="dev")
    make_breaker(service="payroll", target="vault", environment="prod")

    operator = text_of(signed_in(Role.OPERATOR, "dev"), "/overrides/")
    viewer = text_of(signed_in(Role.VIEWER), "/overrides/")

    assert "<pb-many" in operator
    assert '<option value="orders">' in operator
    assert "payroll" not in operator
    assert "vault" not in operator
    assert "<pb-many" not in viewer


def test_what_lies_outside_is_not_listed_as_planned() -> None:
    plan(make_breaker(environment="prod"), "not yours")
    make_breaker(environment="dev")

    assert "not yours" not in text_of(signed_in(Role.OPERATOR, "dev"), "/overrides/")


def test_what_a_policy_did_in_one_go_is_one_row() -> None:
    breaker, other = make_breaker("catalog"), make_breaker(service="feed", target="mail")
    fleet = Actor(kind="policy", id=7, name="fleet", can=frozenset())
    start = timezone.now() - HOUR

    def force(by: Actor, reason: str, minute: int, *, on: Breaker = breaker, **more: Any) -> None:
        now = start + minute * timedelta(minutes=1)
        wish = OverrideWish(mode=Mode.FORCED_OPEN, reason=reason, expires_at=now + HOUR, **more)
        override_breaker(on, wish=wish, by=by, now=now)
        Override.objects.filter(ended_at=None).update(created_at=now)

    force(make_actor(name="ana"), "by hand first", 0)
    force(fleet, "2 of 3 opened", 1)
    force(fleet, "probing", 2, excepted=("a",))
    force(fleet, "a opened again", 3)
    force(fleet, "probing", 4, excepted=("b",))
    release_breaker(
        breaker, reason="1 has recovered", by=fleet, now=start + 5 * timedelta(minutes=1)
    )
    force(fleet, "of another breaker", 6, on=other)
    force(fleet, "which goes on", 7, on=other, excepted=("a",))

    page = text_of(signed_in(Role.VIEWER), "/overrides/")

    [policys, anas] = re.findall(r'<tr data-key="ended-.*?</tr>', page, re.S)
    assert "2 of 3 opened 2 holds, 2 probes policy fleet 4 min 00 s released" in said(policys)
    assert "by policy fleet: 1 has recovered" in said(policys)
    assert "by hand first ana 1 min 00 s replaced" in said(anas)


def ended(breaker: int, end: str, *, by: int | None = 7) -> Override:
    kind = "person" if by is None else "policy"
    return Override(breaker_id=breaker, by_kind=kind, by_id=by or 1, end=end, excepted=[])


def test_a_row_of_which_the_beginning_was_not_read_says_so() -> None:
    read = [ended(1, "released"), ended(2, "expired", by=None), ended(1, "replaced")]

    cut, alone = fold(read, all_read=False)

    assert (cut.folded, alone.folded) == ("the last of it: 2 holds", "")
    assert [one.folded for one in fold(read)] == ["2 holds", ""]


def test_another_policy_or_a_gap_begins_another_row() -> None:
    read = [
        ended(1, "released"),
        ended(1, "expired"),
        ended(1, "replaced", by=8),
        ended(1, "replaced", by=8),
    ]

    assert [len(one.overrides) for one in fold(read)] == [1, 1, 2]


def test_an_override_on_some_instances_says_on_how_many() -> None:
    breaker = make_breaker(instances=["a", "b", "c", "d"])
    Instance.objects.update(connected=True)
    wish = OverrideWish(
        mode=Mode.FORCED_OPEN, reason="drill", expires_at=None, instances=("a", "b")
    )
    made = override_breaker(breaker, wish=wish, by=make_actor(), now=timezone.now())
    named = BreakerInstance.objects.filter(breaker=breaker, instance__name__in=["a", "b"])
    named.update(state="forced_open", applied_revision=made.revision)
    viewer = signed_in(Role.VIEWER)

    for path in ("/", "/overrides/", f"/breakers/{breaker.pk}/"):
        assert "2 of 2 applied on 2 of 4 instances" in said(text_of(viewer, path)), path
    assert "Where it is applied, calls" in said(text_of(viewer, f"/breakers/{breaker.pk}/"))


def test_who_refused_is_not_said_to_be_about_to_apply() -> None:
    breaker = make_breaker(instances=["a", "b"])
    Instance.objects.update(connected=True)
    wish = OverrideWish(mode=Mode.FORCED_OPEN, reason="drill", expires_at=None)
    made = override_breaker(breaker, wish=wish, by=make_actor(), now=timezone.now())
    refusing = BreakerInstance.objects.filter(breaker=breaker, instance__name="a")
    refusing.update(refused_revision=made.revision, refused_error="no")

    page = said(text_of(signed_in(Role.VIEWER), "/overrides/"))

    assert "1 instance has not applied theirs yet. 1 instance refused." in page


def test_names_that_nobody_bears_are_said_not_to_be_known_wherever_the_override_is_told() -> None:
    breaker = make_breaker(instances=["a", "b"])
    Instance.objects.update(connected=True)
    wish = OverrideWish(
        mode=Mode.FORCED_OPEN, reason="drill", expires_at=None, instances=("a", "typo", "other")
    )
    made = override_breaker(breaker, wish=wish, by=make_actor(), now=timezone.now())
    named = BreakerInstance.objects.filter(breaker=breaker, instance__name="a")
    named.update(state="forced_open", applied_revision=made.revision)
    viewer = signed_in(Role.VIEWER)

    for path in ("/", "/overrides/", f"/breakers/{breaker.pk}/"):
        told = said(text_of(viewer, path))
        assert "1 of 1 applied on 1 of 2 instances, 2 not known yet" in told, path
    assert "2 named instances are not known yet." in said(text_of(viewer, "/overrides/"))
    assert "Not known yet: other, typo." in said(text_of(viewer, f"/breakers/{breaker.pk}/"))


def test_a_plan_for_names_that_nobody_bears_says_so() -> None:
    breaker = make_breaker(instances=["a"])
    now = timezone.now()
    wish = OverrideWish(
        mode=Mode.FORCED_OPEN,
        reason="drill",
        expires_at=None,
        instances=("a", "typo"),
        starts_at=now + timedelta(hours=1),
    )
    plan_override(breaker, wish=wish, by=make_actor(), now=now)
    viewer = signed_in(Role.VIEWER)

    assert "not known yet: typo" in said(text_of(viewer, "/overrides/"))
    assert "Not known yet: typo." in said(text_of(viewer, f"/breakers/{breaker.pk}/"))


def test_who_is_to_approve_is_told_of_names_that_nobody_bears() -> None:
    breaker = make_breaker(instances=["a"])
    call = OverrideCall(
        breaker=breaker.pk,
        wish=OverrideWish(
            mode=Mode.FORCED_OPEN, reason="drill", expires_at=None, instances=("a", "typo")
        ),
    )
    Environment.objects.update(four_eyes_above=0)
    make_call(call, by=make_actor(), now=timezone.now())

    operator = signed_in(Role.OPERATOR)

    assert "not known yet: typo" in said(text_of(operator, "/approvals/"))
    assert "Not known yet: typo." in said(text_of(operator, f"/breakers/{breaker.pk}/"))
