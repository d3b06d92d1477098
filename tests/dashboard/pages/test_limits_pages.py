"""`/environments/`, `/approvals/`, and what the breaker page says of limits before a call is made."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from breakers.models import Breaker, Environment, Role
from tests.breakers.guards.callers import decide, force, limit, person
from tests.support.make import make_breaker
from tests.support.people import text_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def breaker() -> Breaker:
    return make_breaker("catalog")


def page_of(client: Client, breaker: Breaker) -> str:
    return text_of(client, f"/breakers/{breaker.pk}/")


def attributes(page: str) -> dict[str, str]:
    """Those of the hand."""
    [hand] = re.findall(r"<pb-hand ([^>]*)>", page)
    return dict(re.findall(r'data-([\w-]+)="([^"]*)"', hand))


def to_approve(page: str) -> str | None:
    """The number in the bar, None where nothing is shown of it."""
    found = re.search(r'class="pill toned to-approve"[^>]*?( hidden)?>.*?data-count>(\d+)<', page)
    return found[2] if found and not found[1] else None


def test_admins_see_and_change_the_limits_of_their_environments(breaker: Breaker) -> None:
    Environment.objects.create(name="dev")
    limit(guard={"max_forced_percent": 50}, four_eyes={"above": 3})
    admin = person("root", Role.ADMIN)

    page = text_of(admin, "/environments/")
    edit = text_of(admin, "/environments/?edit=prod")

    assert "1 of 2 with limits: prod." in page
    assert "above 3 breakers in 15 min" in page
    assert 'data-path="environments/prod"' in edit
    assert 'data-path="environments' not in text_of(admin, "/environments/?edit=nowhere")
    assert "prod" not in text_of(person("eve", Role.ADMIN, "dev"), "/environments/?edit=prod")
    text_of(person("bob"), "/environments/", 403)


def test_a_waiting_call_is_seen_by_those_who_may_approve_it(breaker: Breaker) -> None:
    limit(four_eyes={"above": 0})
    ada, bob = person("ada"), person("bob")
    elsewhere = person("cyd", Role.OPERATOR, "dev")
    viewer = person("eve", Role.VIEWER)
    asked = force(ada, breaker, reason="the provider asked").json()["id"]

    for path in ("/approvals/", f"/breakers/{breaker.pk}/"):
        theirs, own = text_of(bob, path), text_of(ada, path)
        assert "Force open for 10 min" in theirs
        assert "the provider asked" in theirs
        assert f'data-path="approvals/{asked}/approve"' in theirs
        assert f'data-path="approvals/{asked}/approve"' not in own
        assert f'data-path="approvals/{asked}/reject"' in own
        assert "another person must approve" in own
    assert to_approve(text_of(bob, "/rules/")) == "1"
    assert to_approve(text_of(ada, "/rules/")) is None
    assert to_approve(text_of(elsewhere, "/rules/")) is None
    assert "to-approve" not in text_of(viewer, "/rules/")
    assert "the provider asked" not in text_of(elsewhere, "/approvals/")
    assert "the provider asked" not in page_of(viewer, breaker)
    text_of(viewer, "/approvals/", 403)


def test_what_was_decided_stays_to_be_read(breaker: Breaker) -> None:
    limit(four_eyes={"above": 0})
    asked = force(person("ada"), breaker).json()["id"]
    bob = person("bob")
    decide(bob, asked, reason="seen")

    page = text_of(bob, "/approvals/")

    assert "Nothing waits for another person." in page
    assert "approved by bob" in page
    assert to_approve(page) is None
    assert ", approved by bob" in page_of(bob, breaker)


def test_the_hand_says_before_what_a_call_will_meet(breaker: Breaker) -> None:
    make_breaker()
    limit()
    ada = person("ada")
    free = attributes(page_of(ada, breaker))
    limit(confirm=True, guard={"max_forced_percent": 0}, four_eyes={"above": 0})

    bound = attributes(page_of(ada, breaker))

    assert not {"confirm", "guard", "another"} & set(free)
    assert bound["confirm"] == "prod"
    assert "at most 0 may be" in bound["guard"]
    assert "another person must approve" in bound["another"]


def test_broken_glass_stands_on_the_breakers_page(breaker: Breaker) -> None:
    limit(guard={"max_forced_percent": 0})
    ada = person("ada")
    force(ada, breaker, break_glass="max_forced_percent")

    assert "The glass is broken" in page_of(ada, breaker)
