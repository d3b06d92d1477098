from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from pytest_httpserver import HTTPServer
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from alerts.channels import Failed, Parcel, Sent, secret_fields
from alerts.channels.webhook import Webhook, new_secret, rotated
from alerts.messages import IncidentPart, Message, RuleRef
from alerts.sentences import Told
from breakers.states import State
from breakers.wire import Summary

NOW = datetime.now(UTC)


def message(**changes: object) -> Message:
    incident = IncidentPart(
        id="7",
        rule=RuleRef("3", "any open"),
        severity="critical",
        status="firing",
        target="catalog",
        started_at=NOW,
        resolved_at=None,
        summary="orders/catalog opened in prod",
        url="http://panel/incidents/7/",
    )
    said = {"type": "incident.firing", "timestamp": NOW, "incident": incident, "breakers_total": 1}
    return Message(**{**said, **changes})


def summary(number: int = 1, *, service: str = "orders", reason: str = "") -> Summary:
    return Summary(
        id=str(number),
        environment="prod",
        service=service,
        breaker="catalog",
        target="catalog",
        state=State.OPEN,
        states={"open": 1},
        instances=1,
        agents=1,
        since=NOW,
        not_closed_since=NOW,
        probe_due_at=None,
        naturally_open=0,
        failure_rate=50.0,
        rate_of=None,
        calls_per_second=None,
        override=None,
        revision=0,
        updated_at=NOW,
    )


def parcel(secrets: dict, *, later: timedelta = timedelta()) -> Parcel:
    """As of the moment of the test: verifiers refuse what is five minutes old."""
    said, now = message(), datetime.now(UTC) + later
    return Parcel(
        "msg_1", said, Webhook(url="http://x").render(said, [summary()], Told()), now, secrets
    )


def test_the_body_is_the_contracts():
    body = json.loads(Webhook(url="http://x").render(message(), [summary()], Told()))

    assert set(body) == {"type", "timestamp", "data"}
    assert set(body["data"]) == {"incident", "breakers", "breakers_total"}
    assert set(body["data"]["incident"]) == {
        "id",
        "rule",
        "severity",
        "status",
        "target",
        "started_at",
        "resolved_at",
        "summary",
        "url",
    }
    assert body["data"]["incident"]["rule"] == {"id": "3", "name": "any open"}
    assert body["data"]["breakers"][0]["state"] == "open"
    assert datetime.fromisoformat(body["timestamp"]) == NOW


def test_the_body_stays_under_20_kb_and_the_total_tells():
    many = [summary(number, service="é" * 200) for number in range(50)]

    text = Webhook(url="http://x").render(message(breakers_total=50), many, Told())

    assert len(text.encode()) < 20_000
    data = json.loads(text)["data"]
    assert 0 < len(data["breakers"]) <= 20
    assert data["breakers_total"] == 50


def test_at_most_20_breakers_are_listed():
    many = [summary(number) for number in range(50)]

    assert (
        len(json.loads(Webhook(url="http://x").render(message(), many, Told()))["data"]["breakers"])
        == 20
    )


def test_a_receiver_can_verify_it(httpserver: HTTPServer):
    httpserver.expect_request("/hook", method="POST").respond_with_data("", status=200)
    secret = new_secret()

    outcome = Webhook(url=httpserver.url_for("/hook"), authorization="Bearer x").send(
        parcel({"secret": secret})
    )

    assert outcome == Sent(200, "Answered 200.")
    request, _ = httpserver.log[0]
    assert request.headers["webhook-id"] == "msg_1"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["authorization"] == "Bearer x"
    Verifier(secret).verify(request.data, dict(request.headers))
    with pytest.raises(WebhookVerificationError):
        Verifier(new_secret()).verify(request.data, dict(request.headers))


def test_after_a_rotation_both_secrets_sign_until_it_is_over(httpserver: HTTPServer):
    httpserver.expect_request("/hook").respond_with_data("", status=200)
    old = {"secret": new_secret()}
    new = rotated(old, until=datetime.now(UTC) + timedelta(hours=24))
    hook = Webhook(url=httpserver.url_for("/hook"))

    hook.send(parcel(new))
    hook.send(parcel(new, later=timedelta(hours=25)))

    both, one = (request for request, _ in httpserver.log)
    for secret in (old["secret"], new["secret"]):
        Verifier(secret).verify(both.data, dict(both.headers))
    assert len(one.headers["webhook-signature"].split()) == 1


@pytest.mark.parametrize("status", [199 + 1, 202, 204, 299])
def test_any_2xx_is_success(httpserver: HTTPServer, status: int):
    httpserver.expect_request("/hook").respond_with_data("", status=status)

    assert isinstance(
        Webhook(url=httpserver.url_for("/hook")).send(parcel({"secret": new_secret()})), Sent
    )


@pytest.mark.parametrize("status", [301, 400, 404, 429, 500, 503])
def test_any_other_answer_is_a_failure(httpserver: HTTPServer, status: int):
    httpserver.expect_request("/hook").respond_with_data(
        "inner secret", status=status, headers={"Retry-After": "7"}
    )

    outcome = Webhook(url=httpserver.url_for("/hook")).send(parcel({"secret": new_secret()}))

    assert isinstance(outcome, Failed)
    assert (outcome.status, outcome.retry_after, outcome.final) == (status, 7.0, False)
    assert "inner secret" not in outcome.detail


def test_410_means_that_the_receiver_is_gone(httpserver: HTTPServer):
    httpserver.expect_request("/hook").respond_with_data("", status=410)

    outcome = Webhook(url=httpserver.url_for("/hook")).send(parcel({"secret": new_secret()}))

    assert isinstance(outcome, Failed)
    assert outcome.gone


def test_only_the_authorization_is_a_secret_of_its_config():
    assert secret_fields(Webhook) == {"authorization"}


@pytest.mark.parametrize("header", ["a\r\nx: y", "ü", "\0"])
def test_an_authorization_that_is_no_header_is_refused(header: str):
    assert Webhook(url="http://x", authorization=header).problems()
