"""From an event over HTTP to a signed webhook and a mail, through the running system."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pytest_httpserver import HTTPServer
from standardwebhooks import Webhook as Verifier

from tests.support.eventually import eventually
from tests.support.stack import Stack

pytestmark = pytest.mark.xdist_group("live_stack")


class Alerted:
    """A rule on one service with a webhook and a mail channel, and what came of it."""

    def __init__(self, stack: Stack, httpserver: HTTPServer) -> None:
        self.stack, self._server = stack, httpserver
        self.service = f"orders-{uuid4().hex[:8]}"
        httpserver.expect_request("/hook", method="POST").respond_with_data("", status=200)
        hook = self.post(
            "/channels",
            {
                "name": "hook",
                "kind": "webhook",
                "config": {"url": f"http://127.0.0.1:{httpserver.port}/hook"},
            },
        )
        mail = self.post(
            "/channels", {"name": "ops", "kind": "email", "config": {"to": ["ops@example.com"]}}
        )
        self.secret = hook["secret"]
        self.post(
            "/rules",
            {
                "name": "open",
                "kind": "opened",
                "severity": "critical",
                "matchers": [f'service="{self.service}"'],
                "channels": [hook["id"], mail["id"]],
            },
        )

    def post(self, path: str, body: Any) -> Any:
        with self.stack.client() as client:
            answer = client.post(f"/api/v1{path}", json=body)
        assert answer.status_code in (201, 202), answer.text
        return answer.json()

    def get(self, path: str) -> Any:
        with self.stack.client() as client:
            answer = client.get(f"/api/v1{path}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def says(self, state: str) -> None:
        self.post("/events", {"service": self.service, "breaker": "catalog", "to": state})

    @property
    def received(self) -> list[dict[str, Any]]:
        return [
            Verifier(self.secret).verify(request.data, dict(request.headers))
            for request, _ in self._server.log
        ]

    @property
    def ids(self) -> list[str]:
        return [request.headers["webhook-id"] for request, _ in self._server.log]

    def types(self) -> list[str]:
        return [one["type"] for one in self.received]

    def mails(self) -> list[str]:
        folder = Path(self.stack.data_dir) / "mail"
        texts = [path.read_text() for path in folder.glob("*")] if folder.exists() else []
        return [text for text in texts if self.service in text]


def test_an_outage_is_told_by_webhook_and_mail_and_so_is_its_end(
    live_stack: Stack, httpserver: HTTPServer
):
    alerted = Alerted(live_stack, httpserver)

    began = time.monotonic()
    alerted.says("open")
    eventually(lambda: alerted.types() == ["incident.firing"], within=30)
    took = time.monotonic() - began
    alerted.says("half_open")
    alerted.says("closed")
    eventually(lambda: alerted.types() == ["incident.firing", "incident.resolved"], within=30)
    eventually(lambda: len(alerted.mails()) == 2, within=30)

    firing, resolved = alerted.received
    assert firing["data"]["incident"]["status"] == "firing"
    assert firing["data"]["breakers_total"] == 1
    assert resolved["data"]["incident"]["resolved_at"]
    assert firing["data"]["incident"]["id"] == resolved["data"]["incident"]["id"]
    one = alerted.get(f"/incidents/{firing['data']['incident']['id']}")
    assert {row["status"] for row in one["deliveries"]} == {"sent"}
    assert took < 5
    assert "whsec_" not in live_stack.output
    assert json.dumps(one)
