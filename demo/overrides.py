"""What hands hold just now, as the panel tells it: a mended service is not used while its breaker is forced open."""

from __future__ import annotations

import threading
from typing import Any

from demo.http import send_json

EVERY_S = 2.0


class Overrides:
    """Asks in a thread; `now` is the last answer, empty while there is none."""

    def __init__(self, *, url: str, api_key: str) -> None:
        self._asked = f"{url.rstrip('/')}/api/v1/breakers?environment=prod&limit=1000"
        self._headers = {"Authorization": f"Bearer {api_key}"}
        self._ended = threading.Event()
        self.now: list[dict[str, Any]] = []

    def start(self) -> None:
        threading.Thread(target=self._run, daemon=True).start()

    def stop(self) -> None:
        self._ended.set()

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                found = send_json("GET", self._asked, None, headers=self._headers)["items"]
                self.now = [
                    {
                        "service": one["service"],
                        "breaker": one["breaker"],
                        "mode": one["override"]["mode"],
                        "by": one["override"]["by"],
                    }
                    for one in found
                    if one["override"]
                ]
            except (OSError, ValueError, KeyError, TypeError):
                self.now = []  # the panel is away, and nobody knows
            self._ended.wait(EVERY_S)
