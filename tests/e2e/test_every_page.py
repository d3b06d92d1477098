"""Every page, with something on it: nothing to complain of for its policy, for readers, or on a phone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.pages import Pages, is_live
from tests.e2e.shop import Shop
from tests.support.eventually import eventually

if TYPE_CHECKING:
    from playwright.sync_api import Browser

AXE = Path(__file__).parents[2] / "frontend" / "node_modules" / "axe-core" / "axe.min.js"
PAST = "/?at="
LISTS = (
    "/",
    "/incidents/",
    "/rules/",
    "/channels/",
    "/deliveries/",
    "/overrides/",
    "/approvals/",
    "/environments/",
    "/environments/?edit=guarded",
    "/policies/",
    "/audit/",
    "/instances/",
    "/connect/",
    "/people/",
    "/keys/",
    "/password/",
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
    # Where a hand meets everything that it can, and a call waits for another person.
    shop.report("vault", "closed", environment="guarded", breaker="door", target="safe")
    [guarded] = [id for id, each in shop.board().items() if each["service"] == "vault"]
    limits = {"guard": {"max_forced_percent": 0}, "confirm": True, "four_eyes": {"above": 0}}
    shop.call("PUT", "environments/guarded", limits)
    shop.call(
        "POST",
        f"breakers/{guarded}/commands",
        {"command": "trip", "reason": "looked at by a test", "confirm": "guarded"},
    )
    incident = eventually(lambda: shop.incidents(of=burning), within=30)[0]["id"]
    rule = shop.call("GET", "rules")["items"][0]["id"]
    channels = shop.call("GET", "channels")["items"]
    edits = [f"/rules/?edit={rule}", *(f"/channels/?edit={each['id']}" for each in channels)]
    yield [
        *LISTS,
        *edits,
        f"/breakers/{burning}/",
        f"/breakers/{guarded}/",
        f"/breakers/{forced}/",
        f"/incidents/{incident}/",
        f"{PAST}{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
    ]
    shop.report(long, "closed", breaker="payments-provider.eu-central-1.charges")
    shop.rest()


VISIBLE_ACTS = """
[...document.querySelectorAll("main form button:not([type=button])")]
    .filter((button) => button.checkVisibility()).map((button) => button.textContent.trim())
"""


@dataclass
class Seen:
    """What was found on a walk over all pages, by path."""

    policies: dict[str, str] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)
    violations: list[tuple[str, str, list[str]]] = field(default_factory=list)
    widths: dict[str, int] = field(default_factory=dict)
    acts: dict[str, set[str]] = field(default_factory=dict)
    """What can be done there: the words of the visible buttons that send a form."""


def walk(paths: list[str], browser: Browser, shop: Shop, **window: Any) -> Seen:
    """Looks at each page once, as a person would."""
    seen, pages = Seen(), Pages(browser, shop.stack)
    page = pages.sign_in(**window)
    for path in [*paths, "/docs/api/", "/login/"]:
        if path == "/login/":
            page.context.clear_cookies()
        answer = page.goto(path)
        assert answer is not None
        assert answer.status == 200, path
        if path in paths and not path.startswith(PAST):
            is_live(page)
        page.evaluate("document.fonts.ready")
        seen.policies[path] = answer.headers["content-security-policy"]
        # With everything unfolded that can be unfolded.
        page.evaluate("document.querySelectorAll('main details').forEach((one) => one.open = true)")
        page.evaluate(AXE.read_text())
        seen.violations += [
            (path, one["id"], [node["html"][:200] for node in one["nodes"][:3]])
            for one in page.evaluate(
                "axe.run({resultTypes: ['violations']}).then((result) => result.violations)"
            )
        ]
        seen.widths[path] = page.evaluate("document.documentElement.scrollWidth")
        seen.acts[path] = set(page.evaluate(VISIBLE_ACTS))
    seen.complaints = pages.complaints
    pages.close()
    return seen


@pytest.fixture(scope="module")
def on_a_phone(paths: list[str], browser: Browser, running_shop: Shop) -> Seen:
    size: Any = {"width": 390, "height": 844}
    return walk(paths, browser, running_shop, viewport=size, has_touch=True)


@pytest.fixture(scope="module")
def on_a_desk(paths: list[str], browser: Browser, running_shop: Shop) -> Seen:
    size: Any = {"width": 1440, "height": 900}
    return walk(paths, browser, running_shop, viewport=size, color_scheme="dark")


def test_every_policy_is_strict(on_a_phone: Seen) -> None:
    for path, policy in on_a_phone.policies.items():
        assert "default-src 'none'" in policy, path
        assert "unsafe" not in policy, path


def test_no_page_breaks_its_policy_or_says_a_word_in_the_console(
    on_a_phone: Seen, on_a_desk: Seen
) -> None:
    assert on_a_phone.complaints + on_a_desk.complaints == []


def test_no_page_violates_what_axe_knows_of_accessibility(
    on_a_phone: Seen, on_a_desk: Seen
) -> None:
    assert on_a_phone.violations + on_a_desk.violations == []


def test_no_page_scrolls_sideways(on_a_phone: Seen, on_a_desk: Seen) -> None:
    assert {path: width for path, width in on_a_phone.widths.items() if width > 390} == {}
    assert {path: width for path, width in on_a_desk.widths.items() if width > 1440} == {}


def test_what_can_be_done_on_a_desk_can_be_done_on_a_phone(
    on_a_phone: Seen, on_a_desk: Seen
) -> None:
    assert any("Acknowledge" in acts for acts in on_a_desk.acts.values())
    missing = {path: acts - on_a_phone.acts[path] for path, acts in on_a_desk.acts.items()}
    assert {path: acts for path, acts in missing.items() if acts} == {}
