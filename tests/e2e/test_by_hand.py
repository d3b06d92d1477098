"""A hand on a breaker: forced from its page, obeyed by every process, ended by release or by its expiry."""

from __future__ import annotations

import re
import time
from datetime import datetime, timedelta

from tests.e2e.pages import Pages, same_window, shows, was_reloaded
from tests.e2e.shop import Shop
from tests.support.eventually import eventually


def test_forcing_open_refuses_calls_in_every_process_until_it_is_released(
    shop: Shop, pages: Pages
) -> None:
    catalog = shop.breaker()["id"]
    board = pages.sign_in()
    same_window(board)
    page = pages.watch(board.context.new_page())
    page.goto(f"/breakers/{catalog}/")
    page.wait_for_selector("[data-live=live]")
    assert shop.all_serve_from("fresh")

    page.fill("#hand-reason", "the provider asked for quiet")
    page.click("text=10 min")
    page.click("text=Force open on 3 instances")

    shows(board, catalog, "forced_open", words="3 of 3 applied")
    assert eventually(lambda: shop.all_serve_from("cache"), within=30)
    standing = page.locator(".card.override", has_text="3 of 3 applied")
    standing.wait_for()
    assert "the provider asked for quiet" in standing.inner_text()
    assert "by admin" in standing.inner_text()
    page.locator("[data-outcome]", has_text="Force open: 3 of 3 applied.").wait_for()
    assert page.title() == "Forced open: orders → catalog · Panelboard"
    assert [row.get_attribute("data-state") for row in page.locator("tr[data-instance]").all()] == [
        "forced_open"
    ] * 3
    told = shop.breaker()["override"]
    assert (told["by"], told["applied"], told["pending"]) == ("admin", 3, 0)
    left = datetime.fromisoformat(told["expires_at"]) - datetime.now().astimezone()
    assert timedelta(minutes=9) < left <= timedelta(minutes=10)

    page.click("pb-release [data-open]")
    page.fill("#release-reason", "the provider is back")
    page.click("text=Release now")

    shows(board, catalog, "closed", words="3 of 3 closed")
    assert eventually(lambda: shop.all_serve_from("fresh"), within=30)
    page.locator(".card.override").wait_for(state="detached")
    assert page.locator("pb-hand [data-outcome]").text_content() == ""
    assert page.evaluate("document.activeElement.id") == "breaker-says"
    ended = page.locator(".card.ended", has_text="“the provider is back”")
    assert "Released by admin" in ended.inner_text()
    assert not was_reloaded(board)
    page.goto("/audit/")
    page.locator("tbody tr").first.wait_for()
    lines = [line.locator("td").all_inner_texts() for line in page.locator("tbody tr").all()[:2]]
    for (when, who, did, to, why, _), (what, reason) in zip(
        lines,
        [("release", "the provider is back"), ("override", "the provider asked for quiet")],
        strict=True,
    ):
        assert re.match(r"\d\d:\d\d:\d\d\s+(just now|\d+ s ago)", when)
        assert who.split() == ["admin", "person"]
        assert what in did
        assert ("catalog" in to, why) == (True, reason)


def test_an_override_ends_at_its_expiry_without_a_hand(shop: Shop, pages: Pages) -> None:
    breaker = shop.breaker()
    board = pages.sign_in()
    began = time.monotonic()

    shop.call(
        "PUT",
        f"breakers/{breaker['id']}/override",
        {"mode": "forced_open", "reason": "for a moment", "expires_in": 5},
    )

    shows(board, breaker["id"], "forced_open", words="3 of 3 applied")
    shows(board, breaker["id"], "closed", words="3 of 3 closed", within=30)
    assert time.monotonic() - began > 4.5
    assert eventually(lambda: shop.all_serve_from("fresh"), within=30)
    after = shop.breaker()
    assert after["override"] is None
    assert after["revision"] == breaker["revision"] + 2
    told = shop.call("GET", f"breakers/{breaker['id']}/instances")["items"]
    assert {each["applied_revision"] for each in told} == {after["revision"]}
