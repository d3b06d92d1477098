"""A newcomer's first event, by the very command that the page shows."""

from __future__ import annotations

import re
import subprocess
import sys

from tests.e2e.pages import Pages, is_live, shows
from tests.e2e.shop import Shop


def test_the_shown_command_works_as_it_stands_and_the_page_sees_it_arrive(
    shop: Shop, pages: Pages
) -> None:
    page = pages.sign_in()
    page.goto("/connect/")
    is_live(page)
    page.get_by_label("Environment", exact=True).last.fill("mine")
    page.click("text=Create a key")
    is_live(page)
    page.get_by_text("Waiting for the first event").wait_for()
    command = page.get_by_label("Shell command").inner_text()
    key = page.get_by_label("The key").inner_text().strip()
    assert re.fullmatch(r"pb_[\w-]{20,}", key)

    ran = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=30)

    assert ran.returncode == 0, ran.stderr
    assert '"accepted":1' in ran.stdout.replace(" ", "")
    page.get_by_text("Received from my-service: my-breaker is open").wait_for(timeout=20_000)
    page.click("text=See its page")
    page.wait_for_url("**/breakers/*/")
    id = page.url.rstrip("/").rpartition("/")[2]
    assert (shop.board()[id]["environment"], shop.board()[id]["state"]) == ("mine", "open")
    page.goto("/")
    shows(page, id, "open")
    shop.report("my-service", "closed", breaker="my-breaker", environment="mine")


def test_the_shown_python_puts_the_breaker_on_the_board_while_its_process_lives(
    shop: Shop, pages: Pages
) -> None:
    page = pages.sign_in()
    page.goto("/connect/")
    page.get_by_label("Environment", exact=True).last.fill("by python")
    page.click("text=Create a key")
    is_live(page)
    lines = page.get_by_label("Python lines").inner_text()

    with subprocess.Popen(
        [sys.executable, "-iq"], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as shell:
        assert shell.stdin is not None
        shell.stdin.write(lines + "\n")
        shell.stdin.flush()
        page.get_by_text("Received from my-service: my-breaker is closed").wait_for(timeout=20_000)
        shell.communicate(timeout=30)
