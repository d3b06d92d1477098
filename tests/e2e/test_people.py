"""What a role may do holds in the page and behind it, and ends with the session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.e2e.pages import Pages, is_live
from tests.e2e.shop import Shop

if TYPE_CHECKING:
    from playwright.sync_api import Page

PASSWORD = "a viewer's own words"
_CALL = """async ([method, path, body]) => {
    const token = document.querySelector('meta[name="csrf-token"]').content;
    const answer = await fetch(path, {
        method, body: JSON.stringify(body),
        headers: {"Content-Type": "application/json", "X-CSRFToken": token},
    });
    return [answer.status, await answer.json()];
}"""


def make_viewer(pages: Pages, name: str) -> None:
    admin = pages.sign_in()
    admin.goto("/people/")
    admin.fill("#person-name", name)
    admin.fill("#person-password", PASSWORD)
    admin.get_by_role("radio", name="viewer").check()
    admin.click("text=Let them in")
    admin.locator("tbody tr", has_text=name).wait_for()


def call(page: Page, method: str, path: str, body: object) -> tuple[int, dict[str, object]]:
    """The API as a script of this very page would call it, CSRF token and all."""
    status, answer = page.evaluate(_CALL, [method, path, body])
    return status, answer


def test_a_viewer_sees_the_state_and_no_form_and_is_refused_behind_it(
    shop: Shop, pages: Pages
) -> None:
    make_viewer(pages, "vera")
    catalog = shop.breaker()
    wish = {"mode": "forced_open", "reason": "I would like to", "expires_in": 60}
    page = pages.sign_in("vera", PASSWORD)

    page.goto(f"/breakers/{catalog['id']}/")

    is_live(page)
    assert page.locator("[data-breaker]").first.get_attribute("data-state") == "closed"
    assert page.locator("pb-hand, pb-release").count() == 0
    assert "signed in as a viewer" in page.locator("main").inner_text()
    pages.refusals_are_fine = True
    for method, path, body in (
        ("PUT", f"/api/v1/breakers/{catalog['id']}/override", wish),
        ("DELETE", f"/api/v1/breakers/{catalog['id']}/override", {"reason": "no"}),
        ("POST", f"/api/v1/breakers/{catalog['id']}/commands", {"command": "trip", "reason": "no"}),
        ("POST", "/api/v1/rules", {"name": "mine", "kind": "opened"}),
    ):
        status, problem = call(page, method, path, body)
        assert (status, problem["status"]) == (403, 403), path
    for path in ("/audit/", "/keys/", "/people/"):
        assert page.request.get(path).status == 403
        assert page.locator(f'nav a[href="{path}"]').count() == 0
    assert shop.breaker()["revision"] == catalog["revision"]


def test_signing_out_ends_the_live_link_of_the_other_windows(shop: Shop, pages: Pages) -> None:
    pages.refusals_are_fine = True
    one = pages.sign_in()
    other = pages.watch(one.context.new_page())
    other.goto("/incidents/")
    is_live(other)

    one.click("summary:has-text('Account of')")
    one.click("text=Sign out")

    one.wait_for_url("**/login/**")
    # By itself: the server closes the socket within 5 s, and the page goes to where one signs in.
    other.wait_for_url("**/login/?next=%2Fincidents%2F", timeout=20_000)
