"""The page of overrides: what stands, what is planned, and many at once."""

from __future__ import annotations

import html
import re
from datetime import timedelta

import pytest
from django.utils import timezone

from breakers.desired.override import OverrideWish, override_breaker
from breakers.desired.plan import plan_override
from breakers.models import Breaker, PlannedOverride, Role
from breakers.states import Mode
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
