"""What would keep a channel from sending is known before its next message, also where the panel around it has changed."""

from __future__ import annotations

from typing import Any

import pytest

from alerts.foresight import foresee_all
from alerts.models import Channel
from tests.alerts.api.callers import Caller

pytestmark = pytest.mark.django_db
HOOK = {"name": "hook", "kind": "webhook", "config": {"url": "http://10.1.2.3/hook"}}


def test_what_is_allowed_is_looked_at_anew(settings: Any) -> None:
    settings.PANELBOARD_WEBHOOK_ALLOW = ["10.1.0.0/16"]
    call = Caller()
    path = f"/channels/{call.post('/channels', HOOK)['id']}"

    settings.PANELBOARD_WEBHOOK_ALLOW = []
    foresee_all()
    assert "not public" in call.get(path)["foreseen"]

    settings.PANELBOARD_WEBHOOK_ALLOW = ["10.1.0.0/16"]
    foresee_all()
    assert call.get(path)["foreseen"] is None


def test_secrets_that_no_key_opens_any_more_are_told(settings: Any) -> None:
    settings.PANELBOARD_WEBHOOK_ALLOW = ["10.1.0.0/16"]
    call = Caller()
    path = f"/channels/{call.post('/channels', HOOK)['id']}"

    settings.SECRET_KEY = "another secret key, of the length that Django wants for one"
    foresee_all()

    assert "cannot be decrypted" in call.get(path)["foreseen"]


def test_a_channel_that_is_off_is_left_alone(settings: Any) -> None:
    settings.PANELBOARD_WEBHOOK_ALLOW = ["10.1.0.0/16"]
    Caller().post("/channels", HOOK | {"enabled": False})

    settings.PANELBOARD_WEBHOOK_ALLOW = []
    foresee_all()

    assert Channel.objects.get().foreseen is None
