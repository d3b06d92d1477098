"""A hand on one breaker of a service, and an eye on its instance `one`, by the API alone."""

from __future__ import annotations

import itertools
from typing import Any

import httpx2

from tests.support.stack import Stack

PATIENCE_S = 30
"""For one call: in an outage, the panel itself takes seconds to say so."""


class Hand:
    def __init__(self, stack: Stack, service: str, breaker: str = "catalog") -> None:
        self._stack = stack
        self.service = service
        self.breaker = breaker
        self._id: str | None = None

    @property
    def id(self) -> str:
        if self._id is None:
            self._id = str(self.summary()["id"])
        return self._id

    def call(
        self, method: str, path: str, body: Any = None, key: str | None = None
    ) -> httpx2.Response:
        headers = {} if key is None else {"Idempotency-Key": key}
        with self._stack.client() as client:
            return client.request(
                method, f"/api/v1/{path}", json=body, headers=headers, timeout=PATIENCE_S
            )

    def get(self, path: str) -> Any:
        answer = self.call("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def summary(self) -> dict[str, Any]:
        items = self.get(f"breakers?service={self.service}")["items"]
        found = [one for one in items if one["breaker"] == self.breaker]
        assert found, f"{self.breaker} is not on the board"
        return dict(found[0])

    def instance(self) -> dict[str, Any]:
        """The breaker inside the instance `one`."""
        items = self.get(f"breakers/{self.id}/instances")["items"]
        [one] = [each for each in items if each["instance"] == "one"]
        return dict(one)

    def standing(self) -> list[int]:
        """The revisions of what stands on the breaker: one at most."""
        items = self.get("overrides?limit=1000")["items"]
        return [one["revision"] for one in items if one["service"] == self.service]

    def history(self) -> list[str]:
        """The states that it went through, by its history."""
        items = self.get(f"breakers/{self.id}/events?type=state_change&limit=1000")["items"]
        return [state for state, _ in itertools.groupby(one["to"] for one in reversed(items))]

    def try_to_force(self, mode: str = "forced_open") -> httpx2.Response:
        wish = {"mode": mode, "reason": "maintenance", "no_expiry": True}
        return self.call("PUT", f"breakers/{self.id}/override", wish)

    def force(self, mode: str = "forced_open") -> int:
        """The revision."""
        answer = self.try_to_force(mode)
        assert answer.status_code == 200, answer.text
        return int(answer.json()["revision"])

    def release(self) -> int:
        """The revision."""
        answer = self.call("DELETE", f"breakers/{self.id}/override", {"reason": "over"})
        assert answer.status_code == 200, answer.text
        return int(answer.json()["revision"])

    def is_put_right(self, state: str, revision: int) -> bool:
        """Whether the instance is there, is in that state, and has said that it applied that revision."""
        one = self.instance()
        assert one["connected"] is True, one
        assert (one["state"], one["applied_revision"], one["drift"]) == (state, revision, None), one
        return True
