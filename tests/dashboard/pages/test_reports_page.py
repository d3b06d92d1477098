"""`/reports/`: the worst first, in the order that was asked for."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from breakers.models import Breaker, Event, Instance, Person, Role
from tests.support.make import make_breaker

pytestmark = pytest.mark.django_db
NOW = timezone.now()


@pytest.fixture
def viewer() -> Client:
    person = Person.objects.create_person(
        username="vi", password="long enough to sign in", role=Role.VIEWER
    )
    client = Client()
    client.force_login(person)
    return client


def changed(breaker: Breaker, to: str, at: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT ensure_partition('event', %s)", [at])
    Event.objects.create(
        service_id=breaker.service_id,
        event_id=f"{breaker.pk} {at} {to}",
        occurred_at=at,
        received_at=at,
        breaker_id=breaker.pk,
        instance_id=Instance.objects.get(service=breaker.service_id, name="default").pk,
        type="state_change",
        to_state=to,
        cause="automatic",
        origin="agent",
    )


def tripping(service: str, *, trips: int, each: timedelta, days_ago: float = 0.5) -> Breaker:
    breaker = make_breaker(service=service, target="catalog")
    at = NOW - timedelta(days=days_ago)
    changed(breaker, "closed", at - timedelta(hours=1))
    for _ in range(trips):
        changed(breaker, "open", at)
        changed(breaker, "closed", at + each)
        at += each + timedelta(minutes=10)
    return breaker


def told(client: Client, query: str = "") -> tuple[str, list[str]]:
    """The headline, and the rows' titles in order."""
    page = client.get(f"/reports/{query}").content.decode()
    headline = re.search(r'<h1 class="headline">(.*?)</h1>', page)
    assert headline
    return headline[1], re.findall(r'<td><a href="/breakers/\d+/">(.*?)</a>', page)


def test_the_worst_stands_first_and_a_heading_sorts_the_other_way(viewer: Client) -> None:
    tripping("often", trips=3, each=timedelta(minutes=1))
    tripping("long", trips=1, each=timedelta(hours=2))
    tripping("never", trips=0, each=timedelta(0))

    headline, by_trips = told(viewer)

    assert headline == "4 trips in the last 24 hours, 3 of them often → catalog."
    assert by_trips == ["often → catalog", "long → catalog", "never → catalog"]
    assert told(viewer, "?sort=longest")[1][0] == "long → catalog"
    assert told(viewer, "?sort=available")[1][0] == "long → catalog"
    assert told(viewer, "?sort=-trips")[1][0] == "never → catalog"
    page = viewer.get("/reports/").content.decode()
    assert re.search(r'aria-sort="descending"><a href="\?[^"]*sort=-trips', page)


def test_a_longer_span_sees_more(viewer: Client) -> None:
    tripping("old", trips=2, each=timedelta(minutes=1), days_ago=3)

    assert told(viewer)[0] == "Nothing tripped in the last 24 hours."
    assert told(viewer, "?span=7d")[0] == "2 trips in the last 7 days, all of old → catalog."


def test_filters_narrow_and_odd_ones_do_no_harm(viewer: Client) -> None:
    tripping("often", trips=1, each=timedelta(minutes=1))
    tripping("other", trips=0, each=timedelta(0))

    assert told(viewer, "?service=oft")[1] == ["often → catalog"]
    assert told(viewer, "?environment=dev") == ("No breaker to report on.", [])
    assert len(told(viewer, "?span=century&sort=--x")[1]) == 2


def test_what_lies_before_history_is_not_counted_and_the_page_says_so(viewer: Client) -> None:
    tripping("orders", trips=3, each=timedelta(minutes=10), days_ago=5)
    assert "History begins" not in viewer.get("/reports/?span=7d").content.decode()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE history_edge SET at = %s", [NOW - timedelta(days=3)])

    page = viewer.get("/reports/?span=7d").content.decode()

    assert "History begins" in page
    assert "History begins" not in viewer.get("/reports/").content.decode()
