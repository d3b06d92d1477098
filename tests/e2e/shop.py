"""The demo's shop as a test holds it: its breakers by the API, its faults by the command, its customers' answers."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from email import message_from_bytes, policy
from typing import Any

import httpx2

from tests.support.eventually import eventually
from tests.support.servers import ROOT
from tests.support.stack import Stack

ORDERS = {"orders-1", "orders-2", "orders-3"}


class Shop:
    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self._http = httpx2.Client(
            headers={"Authorization": f"Bearer {stack.key}"}, timeout=30, trust_env=False
        )

    # --- the panel --------------------------------------------------------------------------------

    def call(self, method: str, path: str, body: Any = None) -> Any:
        answer = self._http.request(method, f"{self.stack.url}/api/v1/{path}", json=body)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def board(self) -> dict[str, dict[str, Any]]:
        """All summaries by id."""
        found: list[dict[str, Any]] = self.call("GET", "breakers?limit=1000")["items"]
        return {each["id"]: each for each in found}

    def breaker(self, name: str = "catalog") -> dict[str, Any]:
        """The summary of this breaker of orders."""
        [one] = [
            each
            for each in self.board().values()
            if (each["service"], each["breaker"]) == ("orders", name)
            and each["environment"] == "prod"
        ]
        return one

    def report(self, service: str, to: str, **more: Any) -> None:
        """Another service's event."""
        event = {"environment": "prod", "service": service, "breaker": "main", "to": to, **more}
        self.call("POST", "events", event)

    def rest(self) -> None:
        """Mends and releases everything, and waits until that has gone round."""
        self._http.post(f"{self.control}/api/mend", json={}).raise_for_status()
        for each in self.board().values():
            if each["override"]:
                self.call("DELETE", f"breakers/{each['id']}/override", {"reason": "the test ended"})
        eventually(self._is_at_rest, within=40, every=0.1)

    def _is_at_rest(self) -> bool:
        for name in ("catalog", "users"):
            one = self.breaker(name)
            assert (one["state"], one["states"], one["override"]) == ("closed", {"closed": 3}, None)
            told = self.call("GET", f"breakers/{one['id']}/instances")["items"]
            assert [each["connected"] for each in told] == [True] * 3
            assert {each["applied_revision"] for each in told} <= {one["revision"], None}, told
        firing = self.call("GET", "incidents?status=firing,acknowledged")["items"]
        assert not [each for each in firing if each["target"] in ("catalog", "users")]
        assert self.setup_is_done()
        return True

    def incidents(self, *, of: str) -> list[dict[str, Any]]:
        """Those that this breaker is in, newest first."""
        found: list[dict[str, Any]] = self.call("GET", "incidents")["items"]
        return [each for each in found if of in each["breakers"]]

    # --- the demo ---------------------------------------------------------------------------------

    @property
    def control(self) -> str:
        told = json.loads((self.stack.data_dir / "demo.json").read_text())
        return str(told["control"])

    def state(self) -> dict[str, Any]:
        return dict(self._http.get(f"{self.control}/api/state").json())

    def setup_is_done(self) -> bool:
        return self.state()["setup"] == "done"

    def faults(self, *words: str) -> Any:
        """`python -m demo.faults …`, as a person types it."""
        ended = subprocess.run(
            [sys.executable, "-m", "demo.faults", *words],
            cwd=ROOT,
            env=self.stack.env,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout)

    def customer_page(self) -> httpx2.Response:
        """What a customer sees, whichever process of orders answers."""
        fault = next(each for each in self.faults("list") if each["fault"] == "catalog-errors")
        return httpx2.get(fault["customer_url"], timeout=30)

    def served_from(self, *, since: float) -> dict[str, set[str]]:
        """By instance of orders, where its customers' products came from after `since` (epoch s)."""
        found: dict[str, set[str]] = {name: set() for name in ORDERS}
        for answer in self.state()["systems"][0]["answers"]:
            if answer["at"] > since:
                found.setdefault(answer["instance"], set()).add(answer["source"])
        return found

    def all_serve_from(self, source: str) -> bool:
        """Whether, from some moment on, each process of orders answers from there and nowhere else."""
        began = time.time()
        expected = {name: {source} for name in ORDERS}
        try:
            eventually(lambda: all(self.served_from(since=began).values()), within=30)
        except AssertionError:
            return False
        return self.served_from(since=began) == expected

    def webhooks(self) -> list[dict[str, Any]]:
        """What the demo's inbox got, newest first, with its own check of the signature."""
        return list(self.state()["webhooks"])

    def mails(self) -> list[Any]:
        """The files that the panel wrote."""
        return [
            message_from_bytes(each.read_bytes(), policy=policy.default)
            for each in (self.stack.data_dir / "mail").glob("*")
        ]
