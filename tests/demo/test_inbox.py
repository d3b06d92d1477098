from __future__ import annotations

import base64
import json
import os
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook

from demo.http import Request
from demo.inbox import Inbox, signed_rightly

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode()
BODY = json.dumps(
    {"type": "incident.firing", "data": {"incident": {"summary": "orders: catalog is open"}}}
)
NOW = 1_800_000_000


def headers(
    secret: str = SECRET, body: str = BODY, at: int = NOW, message_id: str = "msg_1"
) -> dict[str, str]:
    moment = datetime.fromtimestamp(at, UTC)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at),
        "webhook-signature": Webhook(secret).sign(message_id, moment, body),
    }


def test_a_message_signed_as_standard_webhooks_says_is_believed() -> None:
    assert signed_rightly(SECRET, headers(), BODY.encode(), NOW)


def test_one_right_signature_among_several_is_enough_as_while_a_secret_is_rotated() -> None:
    both = headers()
    other = headers(secret="whsec_" + base64.b64encode(b"another secret, 24 bytes").decode())
    both["webhook-signature"] = f"{other['webhook-signature']} {both['webhook-signature']}"

    assert signed_rightly(SECRET, both, BODY.encode(), NOW)


@pytest.mark.parametrize(
    ("given", "body"),
    [
        (headers(), BODY + " "),
        ({**headers(), "webhook-id": "msg_2"}, BODY),
        ({**headers(), "webhook-timestamp": str(NOW + 1)}, BODY),
        ({**headers(), "webhook-signature": ""}, BODY),
        (headers(at=NOW - 301), BODY),
        ({}, BODY),
    ],
)
def test_anything_else_is_not(given: dict[str, str], body: str) -> None:
    assert not signed_rightly(SECRET, given, body.encode(), NOW)


def test_a_repeat_is_one_message_and_a_forgery_does_not_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("demo.inbox.time.time", lambda: NOW)
    inbox = Inbox(tmp_path, lambda: SECRET)
    right = Request("POST", "/hooks/panelboard", {}, headers(), BODY.encode())
    wrong = Request("POST", "/hooks/panelboard", {}, headers(), BODY.encode() + b" ")

    answers = [inbox.receive(each).status for each in (right, right, wrong)]

    assert answers == [200, 200, 401]
    forged, firing = inbox.webhooks()
    assert (firing["verified"], firing["times"]) == (True, 2)
    assert (firing["type"], firing["summary"]) == ("incident.firing", "orders: catalog is open")
    assert forged["verified"] is False


def test_the_newest_mails_come_first(tmp_path: Path) -> None:
    for number in (1, 2):
        mail = EmailMessage()
        mail["To"], mail["Subject"] = "oncall@example.com", f"Incident {number}"
        mail.set_content("catalog is open")
        path = tmp_path / f"{number}.eml"
        path.write_bytes(bytes(mail))
        os.utime(path, (NOW + number, NOW + number))

    mails = Inbox(tmp_path, lambda: None).mails()

    assert [mail["subject"] for mail in mails] == ["Incident 2", "Incident 1"]
    assert mails[0]["to"] == "oncall@example.com"
    assert Inbox(tmp_path / "none", lambda: None).mails() == []
