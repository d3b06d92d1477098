"""A policy by its page: made, acting on the demo's own breakers, suggested and done, stopped by the lever."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.pages import Pages, shows
from tests.e2e.shop import Shop
from tests.support.eventually import eventually


@pytest.fixture
def shop(shop: Shop) -> Iterator[Shop]:
    yield shop
    for policy in shop.call("GET", "policies")["items"]:
        shop.call("DELETE", f"policies/{policy['id']}")
    shop.call("PUT", "policies/lever", {"stopped": False, "reason": "the test ended"})


def test_a_policy_made_by_page_holds_the_shop_and_the_lever_lets_go(
    shop: Shop, pages: Pages
) -> None:
    pages.refusals_are_fine = True  # one is asked for below
    catalog = shop.breaker()["id"]
    page = pages.sign_in()
    page.goto("/policies/")
    page.locator("h1", has_text="No policies: nobody acts but people.").wait_for()

    page.fill("#policy-name", "orders together")
    page.locator("label", has_text="hold by itself").click()
    page.fill("#policy-matchers", 'service="orders"\nregion="eu"')
    page.fill("#policy-hold", "600")
    page.click("text=Make the policy")
    page.locator("[data-error=matchers]", has_text="only environment, service").wait_for()
    page.fill("#policy-matchers", 'service="orders"')
    page.click("text=Make the policy")
    page.locator("#policies b", has_text="orders together").wait_for()

    shop.faults("shop", "catalog-errors", "on")
    held = page.locator(f'#policy-cases [data-breaker="{catalog}"]')
    held.filter(has_text="Holds it open on all").wait_for(timeout=40_000)
    shows(page, catalog, "forced_open", within=30)
    page.locator("#policies-did", has_text="of 3 instances opened within 60 s").wait_for()

    # What is typed stays, whatever changes on the page meanwhile.
    page.click("text=Stop all policies…")
    page.fill("#lever-reason", "a test of it")
    shop.report("another", "open")
    shop.report("another", "closed")
    page.locator(".lever button", has_text="Stop all policies").click()
    page.locator("h1", has_text="All policies are stopped.").wait_for()
    page.locator(".notice", has_text="stopped by admin").wait_for()
    eventually(lambda: shop.breaker()["override"] is None)

    shop.faults("shop", "catalog-errors", "off")
    page.fill("#lever-reason", "it works")
    page.click("text=Let them act again")
    page.locator("h1", has_text="1 policy watches").wait_for()
    page.locator(".notice.lever").wait_for(state="detached")


def test_what_is_suggested_is_done_at_a_click(shop: Shop, pages: Pages) -> None:
    shop.call(
        "POST",
        "policies",
        {"name": "ask", "mode": "suggest", "matchers": ['service="asked"'], "trip": {"count": 2}},
    )
    for instance in ("a", "b"):
        shop.report("asked", "open", instance=instance)
    [breaker] = eventually(
        lambda: [id for id, each in shop.board().items() if each["service"] == "asked"]
    )
    # The demo's own rule fires too.
    [incident] = eventually(
        lambda: [one for one in shop.incidents(of=breaker) if one["rule"]["name"] == "ask"],
        within=30,
    )

    page = pages.sign_in()
    page.goto(f"/incidents/{incident['id']}/")
    page.click("summary:has-text('Hold it open on all')")
    page.fill("#hold-reason", "it is dead for all")
    page.get_by_role("button", name="Hold it open", exact=True).click()

    page.locator(".status", has_text="resolved").wait_for()
    override = eventually(lambda: shop.board()[breaker]["override"])
    assert (override["mode"], override["by"]) == ("forced_open", "ask")
    assert "(admin: it is dead for all)" in override["reason"]
    for instance in ("a", "b"):
        shop.report("asked", "closed", instance=instance)
