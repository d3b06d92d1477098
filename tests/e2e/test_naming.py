"""Renaming and removing what reports, in a browser."""

from __future__ import annotations

from tests.e2e.pages import Pages
from tests.e2e.shop import Shop


def test_a_breaker_is_renamed_and_removed_and_its_events_stay(shop: Shop, pages: Pages) -> None:
    event = {"service": "naming", "breaker": "ledger", "environment": "test", "to": "open"}
    shop.call("POST", "events", event)
    [made] = shop.call("GET", "breakers?service=naming")["items"]
    page = pages.sign_in()
    page.goto(f"/breakers/{made['id']}/")

    page.get_by_text("Rename the breaker…").click()
    page.get_by_label("New name").first.fill("accounts")
    page.locator(f"#rename-why-breakers-{made['id']}").fill("a better word")
    page.get_by_role("button", name="Rename", exact=True).first.click()
    page.locator(".facts dd", has_text="accounts").wait_for()

    page.get_by_text("Remove the breaker…").click()
    page.locator(f"#remove-why-breakers-{made['id']}").fill("no longer there")
    page.get_by_role("button", name="Remove accounts").click()
    page.locator("pb-board").wait_for()
    page.goto(f"/breakers/{made['id']}/")
    page.get_by_text("The breaker accounts was removed").wait_for()
    page.locator(".events td", has_text="open").first.wait_for()
