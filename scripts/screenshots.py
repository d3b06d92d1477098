"""Pictures of a running panel, for the README and for looking at: board and breaker, wide and narrow, light and dark.

    python scripts/screenshots.py --password PASSWORD [--url http://127.0.0.1:8000] [--out docs/images]
    python scripts/screenshots.py --password PASSWORD --page /incidents/ --page /rules/ --out /tmp/look
    python scripts/screenshots.py --password PASSWORD --check        (accessibility and policy, no pictures)

Needs `playwright` from requirements-dev.txt and a Chromium (`apt-get install chromium`).
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
AXE = ROOT / "frontend" / "node_modules" / "axe-core" / "axe.min.js"
SIZES = {1440: 900, 390: 844}
SCHEMES = ("light", "dark")
WORTH_A_PICTURE = ("open", "forced_open", "half_open", "forced_closed", "unknown", "closed")
SETTLE_MS = 1_200
"""Fonts, the first snapshot and the ribbons' history."""


def main() -> int:
    options = _options()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("chromium-browser"),
            args=["--no-sandbox"] if os.geteuid() == 0 else [],
        )
        try:
            paths = options.page or _worth_seeing(browser, options)
            return (
                _check(browser, options, paths)
                if options.check
                else _shoot(browser, options, paths)
            )
        finally:
            browser.close()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", default=os.environ.get("PANELBOARD_URL", "http://127.0.0.1:8000"))
    parser.add_argument("--username", default="admin")
    parser.add_argument(
        "--password",
        default=os.environ.get("PANELBOARD_ADMIN_PASSWORD"),
        required="PANELBOARD_ADMIN_PASSWORD" not in os.environ,
    )
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument(
        "--page", action="append", help="a path; default: the board and the gravest breaker"
    )
    parser.add_argument("--width", type=int, action="append", choices=SIZES)
    parser.add_argument("--scheme", action="append", choices=SCHEMES)
    parser.add_argument("--full", action="store_true", help="the whole length of the page")
    parser.add_argument(
        "--check", action="store_true", help="run axe-core instead of taking pictures"
    )
    return parser.parse_args()


def _signed_in(browser: Browser, options: argparse.Namespace, width: int, scheme: str) -> Page:
    page = browser.new_context(
        viewport={"width": width, "height": SIZES[width]},
        color_scheme="dark" if scheme == "dark" else "light",
        device_scale_factor=1 if width > 1000 else 2,
        has_touch=width < 1000,
        timezone_id="UTC",
        bypass_csp=options.check,
    ).new_page()
    page.goto(f"{options.url}/login/")
    page.fill("[name=username]", options.username)
    page.fill("[name=password]", options.password)
    page.click("button[type=submit]")
    page.wait_for_url(f"{options.url}/")
    return page


def _worth_seeing(browser: Browser, options: argparse.Namespace) -> list[str]:
    """The sign-in page when checking, the board, and the page of the gravest breaker there is."""
    page = _signed_in(browser, options, 1440, "light")
    paths = ["/"]
    for state in WORTH_A_PICTURE:
        found = page.locator(f'pb-board [data-breaker][data-state="{state}"]')
        if found.count():
            paths.append(f"/breakers/{found.first.get_attribute('data-breaker')}/")
            break
    page.context.close()
    return paths


def _each(options: argparse.Namespace) -> list[tuple[int, str]]:
    return [
        (width, scheme) for width in options.width or SIZES for scheme in options.scheme or SCHEMES
    ]


def _shoot(browser: Browser, options: argparse.Namespace, paths: list[str]) -> int:
    options.out.mkdir(parents=True, exist_ok=True)
    for width, scheme in _each(options):
        page = _signed_in(browser, options, width, scheme)
        said: list[str] = []
        page.on(
            "console",
            lambda message, said=said: (
                said.append(message.text) if message.type == "error" else None
            ),
        )
        page.on("pageerror", lambda error, said=said: said.append(str(error)))
        for path in paths:
            _open(page, options.url + path)
            name = path.strip("/").split("/")[0] or "board"
            file = (
                options.out
                / f"{name.removesuffix('s') if name == 'breakers' else name}-{width}-{scheme}.png"
            )
            page.screenshot(path=str(file), full_page=options.full)
            print(file)
        page.context.close()
        for line in said:
            print(f"  the console says: {line}", file=sys.stderr)
    return 0


def _open(page: Page, url: str) -> None:
    page.goto(url)
    page.evaluate("document.fonts.ready")
    page.wait_for_timeout(SETTLE_MS)


def _check(browser: Browser, options: argparse.Namespace, paths: list[str]) -> int:
    violations = 0
    for width, scheme in _each(options):
        page = _signed_in(browser, options, width, scheme)
        for path in paths:
            _open(page, options.url + path)
            violations += _violations(page, f"{path} {width} {scheme}")
        page.context.clear_cookies()
        _open(page, f"{options.url}/login/")
        violations += _violations(page, f"/login/ {width} {scheme}")
        page.context.close()
    print(f"{violations} violations" if violations else "No violations.")
    return 1 if violations else 0


def _violations(page: Page, where: str) -> int:
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run().then((result) => result.violations)")
    wide = page.evaluate(
        "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    )
    for violation in found:
        print(f"{where}: {violation['id']} ({violation['impact']}): {violation['help']}")
        for node in violation["nodes"][:4]:
            print(f"    {node['html'][:160]}\n    {node['failureSummary'][:300]}")
    if wide:
        print(f"{where}: the page scrolls sideways")
    return len(found) + wide


if __name__ == "__main__":
    sys.exit(main())
