"""Every page, with something on it: nothing to complain of for its policy, for readers, or on a phone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.e2e.pages import Pages, is_live
from tests.e2e.shop import Shop
from tests.support.eventually import eventually

AXE = Path(__file__).parents[2] / "frontend" / "node_modules" / "axe-core" / "axe.min.js"
LISTS = (
    "/",
    "/incidents/",
    "/rules/",
    "/channels/",
    "/deliveries/",
    "/overrides/",
    "/audit/",
    "/instances/",
    "/connect/",
    "/people/",
    "/keys/",
)


@pytest.fixture(scope="module")
def paths(running_shop: Shop) -> Iterator[list[str]]:
    """All pages, while something is open, something is forced and an incident burns."""
    shop = running_shop
    shop.rest()
    long = "a-service-whose-name-is-rather-long-for-any-phone-to-show-on-one-line"
    shop.report(long, "open", breaker="payments-provider.eu-central-1.charges", target="payments")
    [burning] = [id for id, each in shop.board().items() if each["service"] == long]
    forced = shop.breaker("users")["id"]
    shop.call(
        "PUT",
        f"breakers/{forced}/override",
        {"mode": "forced_open", "reason": "looked at by a test", "no_expiry": True},
    )
    incident = eventually(lambda: shop.incidents(of=burning), within=15)[0]["id"]
    yield [*LISTS, f"/breakers/{burning}/", f"/breakers/{forced}/", f"/incidents/{incident}/"]
    shop.report(long, "closed", breaker="payments-provider.eu-central-1.charges")
    shop.rest()


def visit(page: Page, path: str) -> None:
    """Goes there and waits until it is what a person would look at."""
    answer = page.goto(path)
    assert answer is not None
    assert answer.status == 200, path
    if path != "/login/":
        is_live(page)
    page.evaluate("document.fonts.ready")


def test_no_page_breaks_its_strict_policy_or_says_a_word_in_the_console(
    paths: list[str], pages: Pages
) -> None:
    page = pages.sign_in()

    for path in [*paths, "/docs/api/"]:
        answer = page.goto(path)
        assert answer is not None
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy, path
        assert "unsafe" not in policy, path
        if path != "/docs/api/":
            is_live(page)

    assert pages.complaints == []


def test_no_page_scrolls_sideways_on_a_phone(paths: list[str], pages: Pages) -> None:
    page = pages.sign_in(viewport={"width": 390, "height": 844}, has_touch=True)
    wide = []

    for path in [*paths, "/docs/api/", "/login/"]:
        if path == "/login/":
            page.context.clear_cookies()
        page.goto(path)
        page.evaluate("document.fonts.ready")
        # With everything unfolded that a thumb can unfold.
        page.evaluate("document.querySelectorAll('main details').forEach((one) => one.open = true)")
        width = page.evaluate("document.documentElement.scrollWidth")
        if width > 390:
            wide.append((path, width))

    assert wide == []


@pytest.mark.parametrize(("width", "scheme"), [(1440, "dark"), (390, "light")])
def test_no_page_violates_what_axe_knows_of_accessibility(
    paths: list[str], pages: Pages, width: int, scheme: Any
) -> None:
    if not AXE.is_file():
        pytest.skip("needs `npm ci` in frontend/")
    page = pages.sign_in(
        color_scheme=scheme, viewport={"width": width, "height": 900}, bypass_csp=True
    )
    found = []

    for path in [*paths, "/login/"]:
        if path == "/login/":
            page.context.clear_cookies()
        visit(page, path)
        page.evaluate(AXE.read_text())
        for one in page.evaluate("axe.run().then((result) => result.violations)"):
            found.append((path, one["id"], [node["html"][:200] for node in one["nodes"][:3]]))

    assert found == []
