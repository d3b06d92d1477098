"""`/?at=`: complete without a script, marked as past, and with a way back to now."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from http import HTTPStatus

import pytest
from django.test import Client
from django.utils import timezone

from breakers.models import Breaker, Instance, Role
from tests.support.make import make_breaker, make_event
from tests.support.people import signed_in, text_of

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


@pytest.fixture
def admin() -> Iterator[Client]:
    return signed_in(Role.ADMIN)


def opened_two_hours_ago(service: str = "orders", *, environment: str = "prod") -> Breaker:
    """Closed three hours ago, open from two hours ago until one hour ago, closed since."""
    breaker = make_breaker(service=service, environment=environment)
    now = timezone.now()
    for hours, state in ((3, "closed"), (2, "open"), (1, "closed")):
        make_event(breaker, state, at=now - hours * HOUR)
    return breaker


def then(hours_ago: float) -> str:
    return f"/?at={(timezone.now() - hours_ago * HOUR).isoformat().replace('+00:00', 'Z')}"


def shown(page: str) -> dict[str, str]:
    return dict(re.findall(r'data-breaker="(\d+)" data-state="(\w+)"', page))


def said(page: str) -> str:
    headline = re.search(r'<h1 class="headline".*?</h1>', page, re.S)
    assert headline
    return re.sub(r"<[^>]+>", "", headline.group())


def test_the_board_of_then_shows_what_was_so_and_says_that_it_is_past(admin: Client) -> None:
    breaker = opened_two_hours_ago()

    open_then, closed_then = text_of(admin, then(1.5)), text_of(admin, then(2.5))

    assert shown(open_then) == {str(breaker.pk): "open"}
    assert said(open_then) == "1 open: orders → catalog."
    assert "30 min 00 s" in open_then
    assert shown(closed_then) == {str(breaker.pk): "closed"}
    for page in (open_then, closed_then):
        assert "The past." in page
        assert re.search(r'<a [^>]*href="/">Back to now</a>', page)
        assert "data-live" not in page
        assert "board.js" not in page
    assert "The past." not in text_of(admin, "/")


def test_filters_hold_and_stay_in_the_past(admin: Client) -> None:
    orders = opened_two_hours_ago()
    feed = opened_two_hours_ago("feed", environment="staging")
    page = then(1.5)

    assert set(shown(text_of(admin, page))) == {str(orders.pk), str(feed.pk)}
    for query in ("&q=service%3D%22orders%22", "&environment=prod", "&state=open&q=ORDERS"):
        filtered = text_of(admin, page + query)
        assert set(shown(filtered)) == {str(orders.pk)}, query
        links = re.findall(r'<a class="chip" href="([^"]+)"', filtered)
        assert links
        assert all("&amp;at=" in link or "&at=" in link for link in links)
        back = re.search(r'href="([^"]+)">Back to now</a>', filtered)
        assert back
        assert "at=" not in back[1]
        assert 'type="hidden" name="at"' in filtered


def test_the_steps_lead_to_earlier_and_later_but_never_ahead_of_now(admin: Client) -> None:
    opened_two_hours_ago()

    page = text_of(admin, then(0.5))

    steps = re.findall(r'<a class="button" href="/\?at=[^"]+">([^<]+)</a>', page)
    assert steps == ["−1 h", "−10 min", "−1 min", "+1 min", "+10 min"]


def test_without_a_time_it_is_ten_minutes_ago(admin: Client) -> None:
    breaker = opened_two_hours_ago()

    assert shown(text_of(admin, "/?at=")) == {str(breaker.pk): "closed"}


def test_a_time_without_a_zone_is_utc_as_the_pages_field_says(admin: Client) -> None:
    breaker = opened_two_hours_ago()

    page = text_of(admin, f"/?at={timezone.now() - 1.5 * HOUR:%Y-%m-%dT%H:%M:%S}")

    assert shown(page) == {str(breaker.pk): "open"}


@pytest.mark.parametrize(
    "odd",
    [
        "yesterday",
        "0001-01-01",
        "9999-12-31T23:59:59-23:59",
        "0001-01-01T00:00:00%2B23:00",
        "2999-01-01",
    ],
)
def test_what_nobody_knows_is_said_in_words(admin: Client, odd: str) -> None:
    opened_two_hours_ago()

    page = text_of(admin, f"/?at={odd}", HTTPStatus.UNPROCESSABLE_ENTITY)

    assert said(page) == "Nobody knows how it was then."
    assert "Back to now" in page


def test_a_limited_person_sees_only_what_lies_within(admin: Client) -> None:
    inside = opened_two_hours_ago(environment="staging")
    opened_two_hours_ago(environment="prod")

    page = text_of(signed_in(Role.VIEWER, "staging"), then(1.5))

    assert set(shown(page)) == {str(inside.pk)}


def test_what_came_later_was_not_there(admin: Client) -> None:
    breaker = opened_two_hours_ago()
    Breaker.objects.filter(pk=breaker.pk).update(created_at=timezone.now() - 3 * HOUR)
    Instance.objects.update(created_at=timezone.now() - 3 * HOUR)

    page = text_of(admin, then(4))

    assert shown(page) == {}
    assert "The first breaker came later" in page
