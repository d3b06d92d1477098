"""The customers: a steady, modest load on each process of a system's entrance."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections import Counter, deque
from dataclasses import asdict, dataclass
from typing import Any

TIMEOUT_S = 3.0
KEPT = 60
WINDOW_S = 10.0


@dataclass(frozen=True)
class Answer:
    """What one customer got: `fresh`, `cache` or `error`."""

    at: float
    """Seconds since the epoch."""
    instance: str
    source: str
    took_ms: int
    detail: str


class Traffic:
    def __init__(self, urls: list[str], *, requests_per_s: float) -> None:
        self._urls = urls
        self._pause_s = 1.0 / requests_per_s
        self._answers: deque[Answer] = deque(maxlen=KEPT)
        self._recent: deque[Answer] = deque(maxlen=int(len(urls) * requests_per_s * WINDOW_S))
        self._ended = threading.Event()
        self._customers = [
            # Daemons: a customer may be waiting for a slow answer when it is time to end.
            threading.Thread(target=self._shop, args=(number, url), daemon=True)
            for number, url in enumerate(urls)
        ]

    def start(self) -> None:
        for customer in self._customers:
            customer.start()

    def stop(self) -> None:
        self._ended.set()

    def latest(self) -> list[dict[str, Any]]:
        """Newest first."""
        return [asdict(answer) for answer in reversed(list(self._answers))]

    def shares(self) -> dict[str, int]:
        """How many of the last seconds' customers got what."""
        since = time.time() - WINDOW_S
        counted = Counter(a.source for a in list(self._recent) if a.at >= since)
        return {source: counted[source] for source in ("fresh", "cache", "error")}

    def _shop(self, number: int, url: str) -> None:
        # Spread over the period, so that the load has no beat.
        due = time.monotonic() + self._pause_s * number / len(self._urls)
        while not self._ended.wait(max(0.0, due - time.monotonic())):
            answer = _buy(url)
            self._answers.append(answer)
            self._recent.append(answer)
            due = max(due + self._pause_s, time.monotonic())


def _buy(url: str) -> Answer:
    at, began = time.time(), time.monotonic()
    instance, source, detail = "", "error", ""
    try:
        with urllib.request.urlopen(f"{url}/order", timeout=TIMEOUT_S) as answer:
            told = json.load(answer)
        instance, source = told["instance"], told["source"]
        detail = f"{told['customer']}: {len(told['products'])} products"
        if source == "cache":
            detail += f", {told['age_s']:.0f} s old"
    except urllib.error.HTTPError as error:
        detail = f"HTTP {error.code}"
    except (OSError, ValueError, KeyError) as error:
        detail = type(error).__name__
    return Answer(at, instance, source, round((time.monotonic() - began) * 1000), detail)
