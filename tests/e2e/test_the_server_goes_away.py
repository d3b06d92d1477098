"""A page never shows an old picture as a live one, and comes back by itself (I8)."""

from __future__ import annotations

from tests.e2e.pages import Pages, is_live, same_window, shows, states_on, was_reloaded
from tests.e2e.shop import Shop
from tests.faults.outage import frozen, outage
from tests.support.eventually import eventually


def test_a_killed_web_process_makes_the_page_stale_and_its_return_makes_it_true_again(
    shop: Shop, pages: Pages
) -> None:
    shop.report("warehouse", "closed")
    board = pages.sign_in()
    same_window(board)
    pages.away_is_fine = True
    killed = shop.stack.kill("web")

    board.wait_for_selector("[data-live=stale]", timeout=20_000)
    board.locator("[data-stale-notice]", has_text="Not live").wait_for(timeout=20_000)

    eventually(lambda: shop.stack.restarted("web", killed), within=30)
    shop.report("warehouse", "open")
    shop.report("a-new-one", "half_open")
    board.wait_for_selector("[data-live=live]", timeout=20_000)

    def equals_the_api() -> bool:
        assert states_on(board) == {id: each["state"] for id, each in shop.board().items()}
        return True

    eventually(equals_the_api, within=30, every=0.1)
    warehouse = next(id for id, each in shop.board().items() if each["service"] == "warehouse")
    shows(board, warehouse, "open")
    assert not was_reloaded(board)
    # The agents, too, come back by themselves, and say what they are.
    eventually(lambda: shop.breaker()["states"] == {"closed": 3}, within=30)
    for service in ("warehouse", "a-new-one"):
        shop.report(service, "closed")


def test_silence_makes_the_page_stale_and_it_recovers(shop: Shop, pages: Pages) -> None:
    board = pages.sign_in()
    pages.away_is_fine = True

    with frozen(shop.stack, "web"):
        board.wait_for_selector("[data-live=stale]", timeout=20_000)
        assert "Stale" in board.locator("pb-live").inner_text()
        assert board.title().startswith("Not live · ")

    is_live(board, within=30)
    assert not board.title().startswith("Not live")


def test_a_page_whose_server_has_lost_the_database_is_not_live(shop: Shop, pages: Pages) -> None:
    """The web process still answers, and knows nothing new: that is not a live picture."""
    board = pages.sign_in()
    same_window(board)
    pages.away_is_fine = True

    with outage(shop.stack, "postgres"):
        # Three seconds until the server counts itself as blind, four until the page misses its word.
        board.wait_for_selector("[data-live=stale]", timeout=20_000)

    is_live(board, within=30)
    assert not was_reloaded(board)


def test_without_redis_the_page_stays_live_and_true(shop: Shop, pages: Pages) -> None:
    shop.report("warehouse", "closed")
    [warehouse] = [id for id, each in shop.board().items() if each["service"] == "warehouse"]
    board = pages.sign_in()
    shows(board, warehouse, "closed")

    with outage(shop.stack, "redis"):
        shop.report("warehouse", "open")
        shows(board, warehouse, "open", within=30)
        is_live(board)

    shop.report("warehouse", "closed")
    shows(board, warehouse, "closed", within=30)
