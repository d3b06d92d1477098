"""A large fleet's board: the first paint holds what fits on a screen, and says so."""

from __future__ import annotations

import re

import pytest

from breakers.models import Breaker, BreakerInstance, Instance, Role
from tests.support.make import make_breaker, make_service
from tests.support.people import signed_in, text_of

pytestmark = pytest.mark.django_db


def fleet(services: int, each: int) -> None:
    for number in range(services):
        service = make_service(f"service-{number:03}")
        process = Instance.objects.create(service=service, name="i")
        breakers = Breaker.objects.bulk_create(
            Breaker(service=service, name=f"b{n}", target=f"t{n}") for n in range(each)
        )
        BreakerInstance.objects.bulk_create(
            BreakerInstance(breaker=breaker, instance=process, state="closed")
            for breaker in breakers
        )


def test_a_large_board_paints_whole_groups_first_and_counts_all() -> None:
    fleet(services=30, each=50)
    grave = make_breaker(state="open", service="orders")

    page = text_of(signed_in(Role.VIEWER), "/")

    assert re.search(rf'data-breaker="{grave.pk}"', page)
    assert page.count('class="tile"') == 600
    assert "900 more stand here as soon as the page is live" in page
    assert "1501 breakers" in page or "1,501 breakers" in page
    assert 'id="board-data"' not in page
    assert len(page) < 300_000


def test_a_board_that_fits_is_there_as_a_whole() -> None:
    fleet(services=2, each=10)

    page = text_of(signed_in(Role.VIEWER), "/")

    assert 'id="board-data"' in page
    assert "as soon as the page is live" not in page
