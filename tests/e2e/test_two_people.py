"""Limits on control as two people meet them: one asks, the other approves, and the processes obey."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.e2e.pages import Pages, is_live, shows
from tests.e2e.shop import Shop

if TYPE_CHECKING:
    from playwright.sync_api import Page

PASSWORD = "words of a second person"


@pytest.fixture
def limited(shop: Shop) -> Iterator[Shop]:
    """Each call in prod is confirmed, and needs another person."""
    shop.call("PUT", "environments/prod", {"confirm": True, "four_eyes": {"above": 0}})
    yield shop
    shop.call("PUT", "environments/prod", {})


def make_operator(admin: Page, name: str) -> None:
    admin.goto("/people/")
    admin.fill("#person-name", name)
    admin.fill("#person-password", PASSWORD)
    admin.get_by_role("radio", name="operator").check()
    admin.click("text=Let them in")
    admin.locator("tbody tr", has_text=name).wait_for()


def test_one_asks_and_the_other_approves(limited: Shop, pages: Pages) -> None:
    catalog = limited.breaker()["id"]
    other = pages.sign_in()
    make_operator(other, "olga")
    other.goto("/")
    is_live(other)
    asker = pages.sign_in("olga", PASSWORD)
    asker.goto(f"/breakers/{catalog}/")
    is_live(asker)

    asker.fill("#hand-reason", "the provider asked for quiet")
    asker.click("text=10 min")
    button = asker.locator("pb-hand [type=submit]")
    assert button.inner_text() == "Ask: force open on 3 instances"
    button.click()
    assert "Type “prod”" in asker.locator("#hand-confirm-error").inner_text()
    asker.fill("#hand-confirm", "prod")
    button.click()

    asker.locator("[data-outcome]", has_text="waits for another person until").wait_for()
    card = asker.locator("[data-approval]")
    assert "another person must approve" in card.inner_text()
    assert card.get_by_role("button", name="Approve").count() == 0
    assert limited.breaker()["override"] is None

    # Told live, to whoever may approve; and on the breaker's page.
    other.locator(".to-approve", has_text="to approve").click()
    row = other.locator("tr[data-approval]", has_text="orders")
    row.wait_for()
    assert "the provider asked for quiet" in row.inner_text()
    assert "olga" in row.inner_text()
    is_live(other)
    row.get_by_role("button", name="Approve").click()

    other.get_by_text("approved by admin").wait_for()
    row.wait_for(state="detached")
    shows(asker, catalog, "forced_open")
    standing = asker.locator(".card.override", has_text="3 of 3 applied")
    standing.wait_for()
    assert "by olga, approved by admin" in standing.inner_text()
    asker.locator("[data-approval]").wait_for(state="detached")

    # A release needs neither a second person nor the environment's name.
    asker.click("pb-release [data-open]")
    asker.fill("#release-reason", "over")
    asker.click("text=Release now")
    shows(asker, catalog, "closed", words="Closed in 3 of 3 instances")


def test_many_at_once_meet_the_same_limits(limited: Shop, pages: Pages) -> None:
    page = pages.sign_in()
    pages.refusals_are_fine = True
    page.goto("/overrides/")
    is_live(page)
    page.click("details.many > summary")
    many = page.locator("pb-many")
    many.locator("[name=service]").fill("orders")
    many.locator("#many-reason").fill("the provider asked for quiet")
    many.get_by_role("button", name="See what it would touch").click()
    go = many.locator("[data-do]")

    go.click()
    assert "“prod”" in many.locator("#many-confirm-error", has_text="prod").inner_text()
    many.locator("#many-confirm").fill("prod")
    go.click()

    many.locator("[data-outcome]", has_text="waits for another person until").wait_for()
    pending = limited.call("GET", "approvals?status=pending")["items"]
    [asked] = [one for one in pending if one["call"].get("match") == {"service": "orders"}]
    assert not [each for each in limited.board().values() if each["override"]]
    limited.call("POST", f"approvals/{asked['id']}/reject", {"reason": "the test ended"})


def test_an_admin_sets_a_guard_and_an_operator_breaks_the_glass(shop: Shop, pages: Pages) -> None:
    catalog = shop.breaker()["id"]
    page = pages.sign_in()
    try:
        page.goto("/environments/")
        page.get_by_role("link", name="Change… prod").click()
        page.fill("#limit-percent", "0")
        page.get_by_role("button", name="Save").click()
        page.locator("tr", has_text="prod").get_by_text("0% of a service's breakers").wait_for()
        assert shop.call("GET", "environments/prod")["guard"] == {"max_forced_percent": 0}

        page.goto(f"/breakers/{catalog}/")
        is_live(page)
        glass = page.locator("[data-glass]")
        assert "at most 0 may be" in glass.inner_text()
        page.fill("#hand-reason", "the provider burns")
        page.get_by_label("Break the glass").check()
        page.click("text=Force open on 3 instances")

        shows(page, catalog, "forced_open", words="3 of 3 applied")
        page.locator(".card.override", has_text="The glass is broken").wait_for()
    finally:
        shop.call("PUT", "environments/prod", {})
