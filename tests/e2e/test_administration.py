"""Channels, rules and passwords as an admin handles them in a browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pytest_httpserver import HTTPServer
from standardwebhooks import Webhook as Verifier

from tests.e2e.pages import Pages, is_live
from tests.e2e.shop import Shop

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route, WebSocket

NOBODY_LISTENS = "http://127.0.0.1:9/hook"
PASSWORD = "words of a new person"


@pytest.fixture
def receiver(httpserver: HTTPServer) -> str:
    """The address of somebody who takes what a webhook brings."""
    httpserver.expect_request("/hook", method="POST").respond_with_data("", status=202)
    return f"http://127.0.0.1:{httpserver.port}/hook"


def make_webhook(page: Page, name: str, url: str) -> None:
    page.goto("/channels/")
    is_live(page)
    form = page.locator("section", has=page.get_by_role("heading", name="New webhook channel"))
    form.get_by_label("Name").fill(name)
    form.get_by_label("Url").fill(url)
    form.get_by_role("button", name="Make the webhook channel").click()


def test_a_channel_says_how_its_last_test_went_until_one_succeeds(
    shop: Shop, pages: Pages, httpserver: HTTPServer, receiver: str
) -> None:
    page = pages.sign_in()
    make_webhook(page, "tried out", NOBODY_LISTENS)
    page.get_by_role("button", name="I have kept it").click()
    row = page.locator("tr", has_text="tried out")
    row.locator("text=✓ on").wait_for()

    row.get_by_role("button", name="Send a test").click()

    # The row comes from a refresh that the test itself asked for: what it said outlives that, in its colour.
    row.get_by_text("✗ last attempt failed").wait_for()
    outcome = row.locator("[data-outcome] .bad").first
    assert "✗" in outcome.inner_text()
    assert "tried out fails" in page.locator("h1").inner_text()
    other = {"name": "made meanwhile", "kind": "email", "config": {"to": ["a@b.example"]}}
    shop.call("POST", "channels", other)
    page.evaluate("document.dispatchEvent(new Event('pb-refresh'))")
    page.locator("tr", has_text="made meanwhile").wait_for()
    assert "✗" in outcome.inner_text()

    row.get_by_role("link", name="Edit…").click()
    edit = page.locator("#edit")
    edit.get_by_label("Url").fill(receiver)
    edit.get_by_role("button", name="Save").click()
    page.wait_for_url("**/channels/#channel-*")
    row.get_by_text("✗ last attempt failed").wait_for()
    row.get_by_role("button", name="Send a test").click()

    row.get_by_text("✓ on").wait_for()
    assert "✓ Answered 202." in row.locator("[data-outcome]").first.inner_text()
    assert len(httpserver.log) == 1


def test_a_secret_is_not_lost_before_it_is_copied(
    shop: Shop, pages: Pages, httpserver: HTTPServer, receiver: str
) -> None:
    page = pages.sign_in()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.dismiss()))
    make_webhook(page, "signed", receiver)
    notice = page.locator("pb-secret section", has_text="The secret of “signed”")
    secret = notice.get_by_label("Signing secret").inner_text()

    page.evaluate("location.reload()")
    page.get_by_role("link", name="Rules", exact=True).click(no_wait_after=True)

    assert set(asked) == {"beforeunload"}
    notice.get_by_role("button", name="Copy").click()
    notice.get_by_text("Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == secret
    asked.clear()
    page.get_by_role("link", name="Rules", exact=True).click()
    page.wait_for_url("**/rules/")
    assert asked == []

    page.goto("/channels/")
    page.locator("tr", has_text="signed").get_by_role("button", name="Send a test").click()
    page.locator("tr", has_text="signed").get_by_text("✓ Answered 202.").wait_for()
    request, _ = httpserver.log[0]
    assert Verifier(secret).verify(request.data, dict(request.headers))["type"] == "test"


def test_a_rule_is_edited_and_keeps_what_the_form_does_not_change(shop: Shop, pages: Pages) -> None:
    made = shop.call(
        "POST",
        "rules",
        {
            "name": "to be edited",
            "kind": "opened",
            "matchers": ['service="nobody"', 'environment="prod"'],
            "severity": "warning",
            "group_by": ["service", "target"],
            "clear_for": 30,
            "dry_run": True,
            "runbook_url": "https://wiki.example/runbook",
        },
    )
    page = pages.sign_in()
    page.goto("/rules/")

    page.get_by_role("link", name="Edit… to be edited").click()
    edit = page.locator("#edit")
    edit.get_by_label("Name").fill("was edited")
    edit.get_by_label("Only where").fill('service="somebody"')
    edit.get_by_role("button", name="Save").click()

    page.wait_for_url(f"**/rules/#rule-{made['id']}")
    page.locator("tr:target", has_text="was edited").wait_for()
    kept = shop.call("GET", f"rules/{made['id']}")
    changed = {"name": "was edited", "matchers": ['service="somebody"']}
    later = {"updated_at": kept["updated_at"]}
    assert kept == made | changed | {"group_by": kept["group_by"]} | later
    assert set(kept["group_by"]) == {"service", "target"}


def test_a_wrong_field_is_told_beside_it_even_where_it_is_folded_away(
    shop: Shop, pages: Pages
) -> None:
    made = shop.call("POST", "rules", {"name": "wrongly edited", "kind": "opened"})
    page = pages.sign_in()
    pages.refusals_are_fine = True
    page.goto(f"/rules/?edit={made['id']}#edit")

    page.locator("#edit summary").click()
    page.locator("#edit").get_by_label("Runbook").fill("no link")
    page.locator("#edit summary").click()
    page.locator("#edit").get_by_role("button", name="Save").click()

    page.locator("#edit").get_by_text("must be a URL").wait_for()
    assert page.locator("#edit [aria-invalid=true]").get_attribute("name") == "runbook_url"


def answer_after_the_link_ends(page: Page, path: str, link: WebSocket) -> None:
    """Lets a form's answer come only when the page has learnt that its session is over."""

    def hold(route: Route) -> None:
        if route.request.method != "POST":
            route.continue_()
            return
        before = page.context.cookies()
        answer = route.fetch(max_redirects=0)
        page.context.add_cookies(before)  # the browser has not seen the answer yet
        if not link.is_closed():
            link.wait_for_event("close")
        route.fulfill(response=answer)

    page.route(path, hold)


def test_a_new_password_ends_the_other_windows_and_keeps_this_one(pages: Pages) -> None:
    pages.refusals_are_fine = True
    admin = pages.sign_in()
    admin.goto("/people/")
    admin.fill("#person-name", "nora")
    admin.fill("#person-password", PASSWORD)
    admin.click("text=Let them in")
    here, elsewhere = pages.sign_in("nora", PASSWORD), pages.sign_in("nora", PASSWORD)

    here.click("summary:has-text('Account of')")
    with here.expect_websocket() as link:
        here.click("text=Change password")
    here.get_by_label("Your password now").fill(PASSWORD)
    here.get_by_label("New password", exact=True).fill(PASSWORD + " 2")
    here.get_by_label("New password, again").fill(PASSWORD + " 2")
    answer_after_the_link_ends(here, "**/password/", link.value)
    here.get_by_role("button", name="Change the password").click()

    here.get_by_text("Your password is changed").wait_for()
    is_live(here)
    # By itself: its socket ends within 5 s, and so does its session.
    elsewhere.wait_for_url("**/login/**", timeout=20_000)

    admin.goto("/people/")
    admin.get_by_role("link", name="Change… nora").click()
    admin.get_by_label("Password", exact=True).fill(PASSWORD + " 3")
    admin.click("text=Set the password")
    admin.get_by_text("signed out everywhere").wait_for()
    here.wait_for_url("**/login/**", timeout=20_000)
