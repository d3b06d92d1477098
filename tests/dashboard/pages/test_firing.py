"""Incidents where people look for them first: on the board's rows and the breaker's page."""

from __future__ import annotations

import html
import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from alerts.evaluate import evaluate_pending
from alerts.models import Incident
from breakers.desired.override import OverrideWish, override_breaker
from breakers.models import Breaker, Role
from breakers.states import Mode
from tests.support.make import happens, make_actor, make_breaker, make_rule
from tests.support.people import signed_in, text_of

pytestmark = pytest.mark.django_db


def firing(*, held: bool = False) -> tuple[Breaker, Incident]:
    """A breaker that opened, with its incident; `held`: under an override, too."""
    make_rule("any open")
    breaker = make_breaker("catalog-api")
    if held:
        wish = OverrideWish(
            mode=Mode.FORCED_CLOSED, reason="drill", expires_at=timezone.now() + timedelta(hours=1)
        )
        override_breaker(breaker, wish=wish, by=make_actor(), now=timezone.now())
    happens(breaker, "open")
    evaluate_pending()
    return breaker, Incident.objects.get()


def row_of(breaker: Breaker, page: str) -> str:
    [row] = re.findall(rf'<li class="row" data-breaker="{breaker.pk}".*?</li>', page, re.S)
    return row


def test_a_row_under_an_override_still_shows_its_incident() -> None:
    breaker, incident = firing(held=True)

    row = row_of(breaker, text_of(signed_in(Role.VIEWER), "/"))

    assert "ends in" in row
    assert f'href="/incidents/{incident.pk}/"' in row


def said_above(breaker: Breaker, viewer: Client) -> str:
    page = text_of(viewer, f"/breakers/{breaker.pk}/")
    [region] = re.findall(r'<ul id="breaker-incidents".*?</ul>', page, re.S)
    return html.unescape(region)


def test_the_breaker_page_names_its_incidents_and_follows_them() -> None:
    breaker, incident = firing()
    viewer = signed_in(Role.VIEWER)

    shown = said_above(breaker, viewer)
    assert f'href="/incidents/{incident.pk}/"' in shown
    assert all(word in shown for word in ("any open", "critical", "firing"))
    assert 'data-refresh="incident changes"' in shown

    happens(breaker, "closed")
    evaluate_pending()
    assert "<li" not in said_above(breaker, viewer)
