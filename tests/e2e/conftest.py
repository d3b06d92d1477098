"""One demo, started as people start it, and a browser: shared by all tests of this folder, in one worker."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.pages import Pages
from tests.e2e.shop import Shop
from tests.support import stack

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "browser: needs a Chromium; left out where there is none")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here not in item.path.parents:
            continue
        item.add_marker(pytest.mark.browser)
        if CHROMIUM is None:
            item.add_marker(pytest.mark.skip(reason="needs a Chromium (apt-get install chromium)"))
        item.add_marker(pytest.mark.xdist_group("demo"))


# Both for this package alone: Playwright's loop, while it is open, is in the way of every other test of the
# process that uses Django's database or asyncio, and the demo's load is in the way of all.
@pytest.fixture(scope="package")
def running_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    running = stack.start_ready(
        tmp_path_factory.mktemp("demo") / "data", "--demo", "shop", "--port", "0"
    )
    yield Shop(running)
    running.stop()


@pytest.fixture
def shop(running_shop: Shop) -> Iterator[Shop]:
    """The shop at rest: nothing broken, nothing overridden, every instance connected."""
    running_shop.rest()
    yield running_shop
    running_shop.rest()


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"] if os.geteuid() == 0 else []
        )
        yield launched
        launched.close()


@pytest.fixture
def pages(browser: Browser, running_shop: Shop) -> Iterator[Pages]:
    """People's windows; at the end none of them may have complained about anything."""
    opened = Pages(browser, running_shop.stack)
    yield opened
    complaints = opened.complaints
    opened.close()
    readiness = [line for line in running_shop.stack.output.splitlines() if "readiness" in line]
    assert complaints == [], readiness
