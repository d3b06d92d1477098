"""The main job: a dependency fails, the board sees it, people are told, and it mends."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time

from pytest_httpserver import HTTPServer

from tests.e2e.pages import Pages, same_window, shows, was_reloaded
from tests.e2e.shop import Shop
from tests.support.eventually import eventually

SECONDS_TO_OPEN = 10
"""Three failures in a row open a breaker, at four calls a second; the rest is for a busy machine."""
SECONDS_TO_CLOSE = 25
"""Five seconds of rest and three trials, in each process."""


def signature(secret: str, headers: dict[str, str], body: bytes) -> str:
    """As Standard Webhooks 1.0.0 says, by hand."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def test_a_broken_catalog_is_seen_told_and_mended_without_a_reload(
    shop: Shop, pages: Pages, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/hook", method="POST").respond_with_data("")
    channel = shop.call(
        "POST",
        "channels",
        {"name": "own hook", "kind": "webhook", "config": {"url": httpserver.url_for("/hook")}},
    )
    rule = shop.call(
        "POST",
        "rules",
        {
            "name": "catalog is gone",
            "kind": "opened",
            "params": {},
            "matchers": ['service="orders"'],
            "severity": "warning",
            "channels": [channel["id"]],
        },
    )
    catalog, mailed = shop.breaker()["id"], len(shop.mails())
    board = pages.sign_in()
    shows(board, catalog, "closed", words="3 of 3 closed")
    shows(board, shop.breaker("users")["id"], "closed", words="3 of 3 closed")
    same_window(board)
    control = board.context.new_page()
    control.goto(f"{shop.control}/")
    broke = time.time()

    control.click("text=Break catalog")

    shows(board, catalog, "open", words="3 of 3 open", within=SECONDS_TO_OPEN)
    customer = shop.customer_page()
    assert (customer.status_code, "Served from cache" in customer.text) == (200, True)
    control.locator("#answers", has_text="served from cache").wait_for()
    assert shop.breaker("users")["state"] == "closed"
    incidents = pages.watch(board.context.new_page())
    incidents.goto("/incidents/")
    firing = incidents.locator("tr", has_text="catalog is gone").filter(has_text="firing")
    firing.wait_for()
    [firing_message] = eventually(lambda: [request for request, _ in httpserver.log], within=30)
    told = json.loads(firing_message.data)
    assert told["type"] == "incident.firing"
    assert [each["id"] for each in told["data"]["breakers"]] == [catalog]
    headers = {name.lower(): value for name, value in firing_message.headers.items()}
    assert headers["webhook-signature"] == signature(
        channel["secret"], headers, firing_message.data
    )
    assert eventually(lambda: [one for one in shop.webhooks()[:1] if one["at"] > broke], within=30)
    assert (shop.webhooks()[0]["type"], shop.webhooks()[0]["verified"]) == ("incident.firing", True)
    eventually(lambda: len(shop.mails()) > mailed, within=30)
    mail = max(shop.mails(), key=lambda each: each["Date"].datetime)
    assert mail["To"] == "oncall@example.com"
    assert "catalog" in mail["Subject"]

    shop.faults("shop", "catalog-errors", "off")

    shows(board, catalog, "closed", words="3 of 3 closed", within=SECONDS_TO_CLOSE)
    incidents.locator("tr", has_text="catalog is gone").filter(has_text="resolved").wait_for()
    eventually(lambda: shop.all_serve_from("fresh"), within=30)
    types = [
        json.loads(request.data)["type"]
        for request, _ in eventually(
            lambda: httpserver.log if len(httpserver.log) >= 2 else None, within=30
        )
    ]
    assert (types[0], types[-1]) == ("incident.firing", "incident.resolved")
    eventually(lambda: len(shop.mails()) >= mailed + 2, within=30)
    eventually(lambda: shop.webhooks()[0]["type"] == "incident.resolved", within=30)
    assert not was_reloaded(board)
    shop.call("DELETE", f"rules/{rule['id']}")
    shop.call("DELETE", f"channels/{channel['id']}")
