from __future__ import annotations

import json
from typing import Any

import pytest
from django.core import mail
from pytest_httpserver import HTTPServer
from standardwebhooks import Webhook as Verifier

from alerts.models import Channel
from alerts.sealing import unseal
from breakers.models import AuditEntry
from tests.alerts.api.callers import Caller
from tests.support.make import make_rule

pytestmark = pytest.mark.django_db
HOOK = {"name": "hook", "kind": "webhook", "config": {"url": "https://hooks.example.com/x"}}


def test_a_webhooks_secret_is_in_the_answer_to_its_creation_and_nowhere_else():
    call = Caller()

    made = call.post("/channels", HOOK)

    assert made["secret"].startswith("whsec_")
    read = call.get(f"/channels/{made['id']}")
    assert "secret" not in read
    assert read["config"]["url"] == "https://hooks.example.com/x"
    everything = [
        call.get("/channels"),
        list(AuditEntry.objects.values()),
        list(Channel.objects.values()),
    ]
    assert made["secret"] not in json.dumps(everything, default=str)
    sealed = Channel.objects.get().sealed
    assert unseal(sealed)["made"]["secret"] == made["secret"]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://hooks.example.com/x", "https://hooks.example.com/***"),
        ("https://hooks.example.com:8443/?key=x", "https://hooks.example.com:8443/***"),
        ("https://hooks.example.com/", "https://hooks.example.com/"),
    ],
)
def test_of_a_webhooks_url_readers_and_the_audit_log_see_the_host_alone(url: str, shown: str):
    admin = Caller()
    made = admin.post("/channels", {**HOOK, "config": {"url": url}})

    reader = Caller(("read", "operate"))

    assert admin.get(f"/channels/{made['id']}")["config"]["url"] == url
    assert reader.get(f"/channels/{made['id']}")["config"]["url"] == shown
    assert reader.get("/channels")["items"][0]["config"]["url"] == shown
    assert AuditEntry.objects.get(action="create_channel").after["config"]["url"] == shown


def test_a_url_as_readers_see_it_is_not_taken_for_one():
    status, answer = Caller()(
        "POST", "/channels", {**HOOK, "config": {"url": "https://a.example/***"}}
    )

    assert status == 422
    assert answer["errors"][0]["loc"] == ["config", "url"]


def test_secrets_read_back_as_stars_which_a_put_keeps():
    call = Caller()
    body = {**HOOK, "config": {**HOOK["config"], "authorization": "Bearer of-a-passphrase"}}

    made = call.post("/channels", body)
    assert made["config"]["authorization"] == "***"

    body["config"]["authorization"] = "***"
    body["config"]["url"] = "https://hooks.example.com/other"
    status, changed = call("PUT", f"/channels/{made['id']}", body)

    assert (status, changed["config"]["authorization"]) == (200, "***")
    sealed = unseal(Channel.objects.get().sealed)
    assert sealed["config"] == {"authorization": "Bearer of-a-passphrase"}
    assert sealed["made"]["secret"] == made["secret"]
    assert "passphrase" not in json.dumps(list(AuditEntry.objects.values()), default=str)


def test_a_kept_secret_does_not_follow_the_url_elsewhere():
    call = Caller()
    made = call.post(
        "/channels",
        {**HOOK, "config": {**HOOK["config"], "authorization": "Bearer of-a-passphrase"}},
    )

    status, said = call(
        "PUT",
        f"/channels/{made['id']}",
        {**HOOK, "config": {"url": "https://evil.example.com/", "authorization": "***"}},
    )

    assert (status, said["errors"][0]["loc"]) == (422, ["config", "authorization"])


def test_left_out_a_secret_is_gone():
    call = Caller()
    made = call.post(
        "/channels",
        {**HOOK, "config": {**HOOK["config"], "authorization": "Bearer of-a-passphrase"}},
    )

    call("PUT", f"/channels/{made['id']}", HOOK)

    assert "config" not in unseal(Channel.objects.get().sealed)


@pytest.mark.parametrize(
    ("fields", "loc"),
    [
        ({"name": ""}, ["name"]),
        ({"kind": "pigeon"}, ["kind"]),
        ({"config": {}}, ["config", "url"]),
        ({"config": {"url": 7}}, ["config", "url"]),
        ({"config": {"url": "ftp://x"}}, ["config", "url"]),
        ({"config": {"url": "http://a:b@x/"}}, ["config", "url"]),
        ({"config": {"url": "http://x/", "authorization": "***"}}, ["config", "authorization"]),
        ({"kind": "email", "config": {"to": []}}, ["config", "to"]),
        ({"kind": "email", "config": {"to": ["nobody"]}}, ["config", "to"]),
        ({"kind": "email", "config": {"to": ["a@b.example", 7]}}, ["config", "to", 1]),
    ],
)
def test_what_is_wrong_is_told_with_its_place(fields: dict[str, Any], loc: list[Any]):
    status, said = Caller()("POST", "/channels", {**HOOK, **fields})

    assert status == 422
    assert said["errors"][0]["loc"] == loc
    assert not Channel.objects.exists()


def test_a_test_message_is_sent_and_tells_how_it_went(httpserver: HTTPServer):
    httpserver.expect_request("/hook", method="POST").respond_with_data("", status=202)
    call = Caller()
    made = call.post("/channels", {**HOOK, "config": {"url": httpserver.url_for("/hook")}})

    said = call.post(f"/channels/{made['id']}/test", status=200)

    assert (said["ok"], said["status"], said["detail"]) == (True, 202, "Answered 202.")
    assert said["took_ms"] == Channel.objects.get().last_took_ms
    request, _ = httpserver.log[0]
    assert Verifier(made["secret"]).verify(request.data, dict(request.headers))["type"] == "test"


def test_a_channel_remembers_a_failed_test_until_an_attempt_succeeds(httpserver: HTTPServer):
    httpserver.expect_ordered_request("/hook").respond_with_data("", status=500)
    httpserver.expect_ordered_request("/hook").respond_with_data("", status=202)
    call = Caller()
    made = call.post("/channels", {**HOOK, "config": {"url": httpserver.url_for("/hook")}})
    path = f"/channels/{made['id']}"
    assert made["last_failure"] is None

    call.post(f"{path}/test", status=200)
    failed = call.get(path)
    call.post(f"{path}/test", status=200)

    assert failed["last_failure"] == "Answered 500."
    # What counts towards the days after which a channel is switched off is deliveries alone.
    assert failed["failing_since"] is None
    assert call.get(path)["last_failure"] is None


def test_a_test_never_tells_an_inner_address(settings):
    settings.PANELBOARD_WEBHOOK_ALLOW = []
    call = Caller()
    made = call.post("/channels", {**HOOK, "config": {"url": "http://localhost:1/"}})

    said = call.post(f"/channels/{made['id']}/test", status=200)

    assert (said["ok"], said["status"]) == (False, None)
    assert "not public" in said["detail"]
    assert "127.0.0.1" not in said["detail"]


def test_a_test_of_a_mail_channel_sends_a_mail():
    call = Caller()
    made = call.post(
        "/channels", {"name": "ops", "kind": "email", "config": {"to": ["ops@example.com"]}}
    )

    assert made["secret"] is None
    assert call.post(f"/channels/{made['id']}/test", status=200)["ok"]
    assert mail.outbox[0].subject.startswith("[info] Test:")


def test_a_rotated_secret_signs_beside_the_old_one(httpserver: HTTPServer):
    httpserver.expect_request("/hook", method="POST").respond_with_data("", status=200)
    call = Caller()
    made = call.post("/channels", {**HOOK, "config": {"url": httpserver.url_for("/hook")}})

    rotated = call.post(f"/channels/{made['id']}/rotate_secret", status=200)
    call.post(f"/channels/{made['id']}/test", status=200)

    request, _ = httpserver.log[0]
    assert rotated["secret"] != made["secret"]
    for secret in (made["secret"], rotated["secret"]):
        Verifier(secret).verify(request.data, dict(request.headers))


def test_a_channel_without_a_secret_cannot_rotate_it():
    call = Caller()
    made = call.post(
        "/channels", {"name": "o", "kind": "email", "config": {"to": ["o@example.com"]}}
    )

    assert call("POST", f"/channels/{made['id']}/rotate_secret")[0] == 409


def test_a_deleted_channel_is_forgotten_by_rules_and_keeps_no_secret():
    call = Caller()
    made = call.post("/channels", HOOK)
    rule = make_rule(channels=[Channel.objects.get()])

    assert call("DELETE", f"/channels/{made['id']}")[0] == 204

    assert call("GET", f"/channels/{made['id']}")[0] == 404
    assert Channel.objects.get().sealed == ""
    assert not rule.channels.exists()


def test_its_kind_stays():
    call = Caller()
    made = call.post("/channels", HOOK)

    status, said = call("PUT", f"/channels/{made['id']}", {**HOOK, "kind": "email"})

    assert (status, said["errors"][0]["loc"]) == (422, ["kind"])


def test_switched_on_again_it_says_no_more_why_it_was_off():
    call = Caller()
    made = call.post("/channels", HOOK)
    Channel.objects.update(enabled=False, disabled_why="410")

    _, off = call("PUT", f"/channels/{made['id']}", {**HOOK, "enabled": False})
    assert off["disabled_why"] == "410"
    _, on = call("PUT", f"/channels/{made['id']}", HOOK)
    assert (on["enabled"], on["disabled_why"]) == (True, None)


@pytest.mark.parametrize("scopes", [["read"], ["read", "operate"]])
def test_changing_channels_needs_admin_before_any_look_up(scopes: list[str]):
    call = Caller(scopes)

    for method, path in (
        ("POST", "/channels"),
        ("PUT", "/channels/999"),
        ("DELETE", "/channels/999"),
        ("POST", "/channels/999/test"),
        ("POST", "/channels/999/rotate_secret"),
    ):
        assert call(method, path, HOOK)[0] == 403


@pytest.mark.parametrize(
    "url", ["http://10.1.2.3/hook", "http://[::1]:9/hook", "http://localhost:9/"]
)
def test_a_webhook_that_would_be_refused_is_said_to_be_when_it_is_made(url: str, settings: Any):
    settings.PANELBOARD_WEBHOOK_ALLOW = []
    call = Caller()

    made = call.post("/channels", HOOK | {"config": {"url": url}})

    assert "not public" in made["foreseen"]
    assert "PANELBOARD_WEBHOOK_ALLOW" in made["foreseen"]
    assert made["enabled"]
    path = f"/channels/{made['id']}"
    call.post(f"{path}/test", status=200)
    tested = call.get(path)
    assert (tested["foreseen"], tested["last_failure"]) == (None, made["foreseen"])


def test_what_is_allowed_or_public_is_not_warned_of(settings: Any):
    settings.PANELBOARD_WEBHOOK_ALLOW = ["10.1.0.0/16"]
    call = Caller()

    made = call.post("/channels", HOOK | {"config": {"url": "http://10.1.2.3/hook"}})
    public = call.post("/channels", HOOK | {"config": {"url": "http://93.184.216.34/hook"}})
    status, moved = call(
        "PUT", f"/channels/{made['id']}", HOOK | {"config": {"url": "http://10.2.2.3/"}}
    )

    assert (made["foreseen"], public["foreseen"]) == (None, None)
    assert status == 200
    assert "not public" in moved["foreseen"]
