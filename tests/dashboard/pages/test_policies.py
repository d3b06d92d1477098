"""`/policies/`: what is held, what was done, and who may pull the lever."""

from __future__ import annotations

import re

import pytest
from django.utils import timezone

from alerts.evaluate import evaluate_pending
from alerts.models import Incident
from alerts.policy_changes import pull_lever
from breakers.desired.override import release_breaker
from breakers.models import Breaker, Role
from tests.support.make import happens, make_actor, make_breaker, make_policy
from tests.support.people import signed_in, text_of

pytestmark = pytest.mark.django_db


def outage(**fields: str) -> Breaker:
    breaker = make_breaker(instances=("a", "b", "c"), **fields)  # type: ignore[arg-type]
    for name in ("a", "b"):
        happens(breaker, "open", instance=name)
    evaluate_pending()
    return breaker


def said(page: str) -> str:
    """The page's main part as a reader hears it."""
    main = page.partition("<main")[2].partition("</main>")[0]
    return " ".join(re.sub(r"<[^>]+>", " ", main).split())


def test_it_shows_what_is_held_why_and_by_which_policy() -> None:
    make_policy("together")
    breaker = outage(target="catalog")

    page = text_of(signed_in(Role.VIEWER), "/policies/")

    assert "1 policy watches. 1 breaker held open now." in said(page)
    assert f'data-breaker="{breaker.pk}" data-state="' in page
    assert "together Holds it open on all" in said(page)
    assert "2 of 3 instances opened within 60 s: held open on all for 60 s" in said(page)


def test_it_says_what_keeps_a_policy_from_acting() -> None:
    make_policy()
    release_breaker(outage(), reason="not now", by=make_actor(), now=timezone.now())
    happens(Breaker.objects.get(), "open", instance="c")
    happens(Breaker.objects.get(), "half_open", instance="a")
    happens(Breaker.objects.get(), "open", instance="a")
    evaluate_pending()

    page = said(text_of(signed_in(Role.VIEWER), "/policies/"))

    assert "Would hold it open Not now: ada released it: left alone until it closes, or" in page
    assert "by ada: not now" in page


def test_a_stopped_panel_says_so_first_and_by_whom() -> None:
    pull_lever(stopped=True, reason="odd refusals", by=make_actor(), now=timezone.now())

    page = said(text_of(signed_in(Role.VIEWER), "/policies/"))

    assert "All policies are stopped by ada" in page
    assert "odd refusals" in page
    assert page.index("All policies are stopped") < page.index("A policy forces a breaker open")


@pytest.mark.parametrize(
    ("role", "limits", "may"),
    [
        (Role.VIEWER, (), False),
        (Role.OPERATOR, (), True),
        (Role.OPERATOR, ("prod",), False),
        (Role.ADMIN, (), True),
        (Role.ADMIN, ("prod",), False),
    ],
)
def test_the_lever_is_there_for_those_who_may_pull_it(
    role: Role, limits: tuple[str, ...], may: bool
) -> None:
    page = text_of(signed_in(role, *limits), "/policies/")

    assert ('data-path="policies/lever"' in page) is may


def test_only_admins_make_and_edit_policies() -> None:
    policy = make_policy()

    operator = signed_in(Role.OPERATOR)
    assert 'data-path="policies"' not in text_of(operator, "/policies/")
    text_of(operator, f"/policies/?edit={policy.pk}", 403)
    admin = signed_in(Role.ADMIN)
    assert 'data-path="policies"' in text_of(admin, "/policies/")
    assert 'data-method="PUT"' in text_of(admin, f"/policies/?edit={policy.pk}")
    text_of(admin, "/policies/?edit=999", 404)


def test_the_form_keeps_what_is_set() -> None:
    policy = make_policy(percent=33.5, matchers=['service="<b>"'], hold=7, max_breakers=3)

    page = text_of(signed_in(Role.ADMIN), f"/policies/?edit={policy.pk}")

    form = page.partition('id="edit"')[2]
    values = dict(re.findall(r'name="([^"]+)"[^>]* value="([^"]*)"', form))
    assert (values["trip.percent"], values["trip.count"]) == ("33.5", "")
    assert (values["hold"], values["max_breakers"], values["trip.window"]) == ("7", "3", "60")
    assert "service=&quot;&lt;b&gt;&quot;" in form


def test_whoever_is_limited_sees_what_happened_within_the_limits() -> None:
    make_policy()
    outage(service="orders", environment="prod")
    outage(service="billing", environment="staging")

    page = said(text_of(signed_in(Role.VIEWER, "prod"), "/policies/"))

    assert "orders" in page
    assert "billing" not in page


def test_a_suggestion_has_a_button_that_does_it() -> None:
    make_policy("ask first", mode="suggest")
    outage()
    incident = Incident.objects.get().pk

    page = text_of(signed_in(Role.OPERATOR), f"/incidents/{incident}/")
    assert f'data-path="incidents/{incident}/hold"' in page
    assert "The policy “ask first” suggests to hold this breaker" in said(page)
    assert "/snooze" not in page  # it tells nobody of anything
    seen = text_of(signed_in(Role.VIEWER), f"/incidents/{incident}/")
    assert "/hold" not in seen


def test_suggestions_that_nobody_has_decided_on_stand_there_with_a_link() -> None:
    make_policy("ask first", mode="suggest")
    outage(service="orders", environment="prod")
    outage(service="billing", environment="staging")
    orders, billing = Incident.objects.order_by("pk")

    viewer = signed_in(Role.VIEWER)
    page = text_of(viewer, "/policies/")
    limited = text_of(signed_in(Role.OPERATOR, "prod"), "/policies/")

    assert (
        "1 policy watches, only to suggest. 2 suggestions for a person to decide. Nothing is held."
    ) in said(page)
    assert f'href="/incidents/{billing.pk}/"' in page
    assert f'href="/incidents/{orders.pk}/"' in limited
    assert "billing" not in limited
    for breaker in Breaker.objects.all():
        for name in ("a", "b"):
            happens(breaker, "closed", instance=name)
    evaluate_pending()
    assert "Suggested now" not in text_of(viewer, "/policies/")
