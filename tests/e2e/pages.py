"""People's windows on the panel. What a window complains about is kept: errors, and breaches of its policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.support.stack import Stack

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

LOOK_S = 20.0
"""Within this a page shows what has happened; the browser shares the machine with the whole system."""
_BREACHES = """
    document.addEventListener("securitypolicyviolation", (event) =>
        console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));
"""


class Pages:
    def __init__(self, browser: Browser, stack: Stack) -> None:
        self._browser = browser
        self._stack = stack
        self._contexts: list[BrowserContext] = []
        self.complaints: list[str] = []
        self.away_is_fine = False
        """While the server is killed, failed requests are what a window has to report."""
        self.refusals_are_fine = False
        """Where a test asks for what it may not have, or its windows do: those of a session that has ended."""

    def open(self, **options: Any) -> Page:
        """A window of a browser of its own, signed in nowhere."""
        context = self._browser.new_context(base_url=self._stack.url, timezone_id="UTC", **options)
        context.set_default_timeout(15_000)
        context.add_init_script(_BREACHES)
        self._contexts.append(context)
        return self.watch(context.new_page())

    def watch(self, page: Page) -> Page:
        """Keeps what this window complains about."""
        page.on("console", lambda said: self._console(page, said))
        page.on("pageerror", lambda error: self.complaints.append(f"{page.url}: {error}"))
        return page

    def _console(self, page: Page, said: Any) -> None:
        if said.type not in ("error", "warning"):
            return
        failed = "Failed to load resource" in said.text or "WebSocket" in said.text
        # That a part is away is what a page asks for by this, and tells people.
        asked = str(said.location["url"])
        if failed and (self.away_is_fine or asked.endswith("/readyz")):
            return
        if self.refusals_are_fine and any(
            f"status of {refusal}" in said.text for refusal in (401, 403, 422)
        ):
            return
        self.complaints.append(f"{page.url}: {said.text} ({asked})")

    def sign_in(self, name: str = "admin", password: str | None = None, **options: Any) -> Page:
        """A window on the board, live."""
        page = self.open(**options)
        page.goto("/login/")
        page.fill("[name=username]", name)
        page.fill("[name=password]", password or self._stack.admin_password)
        page.click("button[type=submit]")
        page.wait_for_url(f"{self._stack.url}/")
        is_live(page)
        return page

    def close(self) -> None:
        for context in self._contexts:
            context.close()


def is_live(page: Page, *, within: float = LOOK_S) -> None:
    page.wait_for_selector("[data-live=live]", timeout=within * 1000)


def shows(page: Page, id: str, state: str, *, words: str = "", within: float = LOOK_S) -> None:
    """Waits until the page shows the breaker in this state, with these words beside it."""
    page.locator(f'[data-breaker="{id}"][data-state="{state}"]', has_text=words).first.wait_for(
        timeout=within * 1000
    )


def states_on(page: Page) -> dict[str, str]:
    """The state of each breaker as the page has it now."""
    return dict(
        page.eval_on_selector_all(
            "pb-board [data-breaker]",
            "all => all.map((one) => [one.dataset.breaker, one.dataset.state])",
        )
    )


def same_window(page: Page) -> None:
    """Marks the document, so that `was_reloaded` can tell."""
    page.evaluate("window.marked = true")


def was_reloaded(page: Page) -> bool:
    return not page.evaluate("window.marked === true")
