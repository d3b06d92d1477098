"""Orders: the shop's front. Asks catalog and users, each behind a breaker, and goes on without
them: with the products it last saw, and with a guest."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from html import escape
from typing import Any

import panelboard_client
import pybreaker

from demo.http import Request, Response, as_html, as_json, get_json
from demo.services.process import addresses, instance_name, run

TIMEOUT_S = 0.4
"""A customer waits no longer for a part that can be done without."""


class Dependency:
    """A service that is asked over HTTP, its processes in turn, behind one breaker."""

    def __init__(self, name: str, path: str, panel: panelboard_client.Panel) -> None:
        self._urls: Iterator[str] = itertools.cycle([f"{at}{path}" for at in addresses(name)])
        breaker = pybreaker.CircuitBreaker(fail_max=3, reset_timeout=5, success_threshold=3)
        self.breaker = panel.watch(breaker, name=name, target=name)

    def ask(self) -> Any:
        """Raises pybreaker.CircuitBreakerError, OSError or ValueError."""
        return self.breaker.call(lambda: get_json(next(self._urls), timeout_s=TIMEOUT_S))


class Shop:
    def __init__(self, panel: panelboard_client.Panel) -> None:
        self._catalog = Dependency("catalog", "/products", panel)
        self._users = Dependency("users", "/user", panel)
        self._seen: tuple[list[dict[str, Any]], float] | None = None

    def products(self) -> tuple[str, list[dict[str, Any]], float]:
        """`fresh`, `cache` or `error`, the products, and how many seconds old they are."""
        try:
            products = self._catalog.ask()["products"]
        except (pybreaker.CircuitBreakerError, OSError, ValueError):
            if self._seen is None:
                return "error", [], 0.0
            cached, at = self._seen
            return "cache", cached, time.monotonic() - at
        self._seen = products, time.monotonic()
        return "fresh", products, 0.0

    def customer(self) -> str:
        try:
            return str(self._users.ask()["name"])
        except (pybreaker.CircuitBreakerError, OSError, ValueError):
            return "guest"

    def order(self, _: Request) -> Response:
        source, products, age_s = self.products()
        told = {
            "instance": instance_name(),
            "source": source,
            "customer": self.customer(),
            "products": products,
            "age_s": round(age_s, 1),
        }
        return as_json(told, 503 if source == "error" else 200, X_Source=source)

    def page(self, _: Request) -> Response:
        source, products, age_s = self.products()
        note = {
            "fresh": "Prices as of now.",
            "cache": f"Served from cache: prices as of {age_s:.0f} s ago.",
            "error": "The shop cannot show its products just now.",
        }[source]
        rows = "".join(
            f"<li><span>{escape(p['name'])}</span><b>{p['price']:.2f}</b></li>" for p in products
        )
        return as_html(
            PAGE.format(
                name=escape(self.customer()),
                note=note,
                source=source,
                rows=rows,
                by=instance_name(),
            ),
            503 if source == "error" else 200,
            X_Source=source,
            Content_Security_Policy="default-src 'none'; style-src 'unsafe-inline'",
        )


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>The shop</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root {{ color-scheme: light dark; --ink: light-dark(#15191f, #e8ecf1);
  --quiet: light-dark(#5a6574, #8590a0); --line: light-dark(#dfe3e8, #262d37);
  --warn: light-dark(#8a5b00, #f0bc4f); --warn-bg: light-dark(#fdf4dc, #2a2110); }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 34rem; margin: 2rem auto; padding: 0 1rem;
  color: var(--ink); background: light-dark(#fff, #161b22); }}
ul {{ list-style: none; padding: 0; }}
li {{ display: flex; justify-content: space-between; padding: .5rem 0;
  border-bottom: 1px solid var(--line); font-variant-numeric: tabular-nums; }}
.note {{ padding: .5rem .75rem; border-radius: 8px; color: var(--quiet); }}
.note.cache, .note.error {{ color: var(--warn); background: var(--warn-bg); font-weight: 600; }}
footer {{ color: var(--quiet); font-size: .8rem; }}
</style></head>
<body data-source="{source}"><h1>Good day, {name}</h1>
<p class="note {source}">{note}</p><ul>{rows}</ul>
<footer>answered by {by}</footer></body></html>
"""


def main() -> None:
    with panelboard_client.connect(
        service="orders", environment="prod", instance=instance_name()
    ) as panel:
        shop = Shop(panel)
        run({("GET", "/"): shop.page, ("GET", "/order"): shop.order})


if __name__ == "__main__":
    main()
