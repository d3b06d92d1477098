"""What the panel sent: webhooks, their signatures checked, and the mails in its folder."""

from __future__ import annotations

import base64
import binascii
import email
import email.policy
import hashlib
import hmac
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from demo.http import Request, Response, as_json

TOLERANCE_S = 300.0
KEPT = 30


def signed_rightly(secret: str, headers: Mapping[str, str], body: bytes, now: float) -> bool:
    """Standard Webhooks: one of the signatures is ours, and the time is near `now` (epoch s)."""
    message_id = headers.get("webhook-id", "")
    timestamp = headers.get("webhook-timestamp", "")
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        fresh = abs(now - int(timestamp)) <= TOLERANCE_S
    except (binascii.Error, ValueError):
        return False
    content = f"{message_id}.{timestamp}.".encode() + body
    expected = base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
    given = [s.partition(",") for s in headers.get("webhook-signature", "").split()]
    return fresh and any(
        version == "v1" and hmac.compare_digest(value, expected) for version, _, value in given
    )


class Inbox:
    def __init__(self, mail_dir: Path, secret: Callable[[], str | None]) -> None:
        self._mail_dir = mail_dir
        self._secret = secret
        self._lock = threading.Lock()
        self._webhooks: OrderedDict[str, dict[str, Any]] = OrderedDict()

    def receive(self, request: Request) -> Response:
        """A webhook. One with a wrong signature is shown as such and answered 401."""
        secret = self._secret()
        now = time.time()
        verified = secret is not None and signed_rightly(secret, request.headers, request.body, now)
        try:
            message = json.loads(request.body)
            incident = message.get("data", {}).get("incident", {})
            told = {"type": str(message.get("type")), "summary": str(incident.get("summary", ""))}
        except (ValueError, AttributeError):
            told = {"type": "unreadable", "summary": ""}
        message_id = request.headers.get("webhook-id", "")
        with self._lock:
            # A repeat has the same id, and is one message; a forgery may not take its place.
            key = f"{message_id}:{verified}"
            before = self._webhooks.pop(key, None)
            self._webhooks[key] = {
                **told,
                "id": message_id,
                "at": now,
                "verified": verified,
                "times": 1 + (before["times"] if before else 0),
            }
            while len(self._webhooks) > KEPT:
                self._webhooks.popitem(last=False)
        return as_json({"ok": verified}, 200 if verified else 401)

    def webhooks(self) -> list[dict[str, Any]]:
        """Newest first."""
        with self._lock:
            return list(reversed(self._webhooks.values()))

    def mails(self) -> list[dict[str, Any]]:
        """The newest of the panel's mail folder (its default EMAIL_URL), newest first."""
        try:
            files = [(path.stat().st_mtime, path) for path in self._mail_dir.iterdir()]
        except OSError:
            return []
        newest = sorted(files, key=lambda file: file[0], reverse=True)[:KEPT]
        return [_mail(path, at) for at, path in newest if path.is_file()]


def _mail(path: Path, at: float) -> dict[str, Any]:
    try:
        message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        text = message.get_body(("plain",))
        body = text.get_content() if text is not None else ""
        to, subject = str(message.get("To", "")), str(message.get("Subject", ""))
    except (OSError, ValueError, LookupError):
        to, subject, body = "", path.name, ""
    return {"at": at, "to": to, "subject": subject, "text": body[:600]}
