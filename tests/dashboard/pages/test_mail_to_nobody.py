"""Without a mail server what is sent by mail is written to files, and that is no delivery: pages say so."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone
from pytest_django import Settings

from alerts.deliver import Speed, claim_due, finish
from alerts.evaluate import evaluate_pending
from breakers.models import Role
from tests.support.make import happens, make_breaker, make_channel, make_rule
from tests.support.people import signed_in, text_of

pytestmark = pytest.mark.django_db(transaction=True)
TO_FILES = "django.core.mail.backends.filebased.EmailBackend"


@pytest.mark.parametrize("to_files", [True, False])
def test_mail_that_reaches_nobody_counts_as_no_delivery(
    settings: Settings, tmp_path: Path, to_files: bool
) -> None:
    if to_files:
        settings.EMAIL_BACKEND, settings.EMAIL_FILE_PATH = TO_FILES, str(tmp_path)
    make_rule(channels=[make_channel("On-call")])
    happens(make_breaker("catalog", target="catalog"), "open")
    evaluate_pending()
    later = timezone.now() + timedelta(minutes=1)
    for claimed in claim_due(now=later, limit=10, each=10, speed=Speed.UNKNOWN):
        assert claimed.parcel is not None
        assert claimed.kind is not None
        finish(claimed, claimed.kind.send(claimed.parcel), took_ms=1, now=later, luck=0.5)
    admin = signed_in(Role.ADMIN)

    deliveries, channels = text_of(admin, "/deliveries/"), text_of(admin, "/channels/")

    assert ("1 written to files and sent to nobody" in deliveries) is to_files
    assert ("1 delivered" in deliveries) is not to_files
    for said in ("1 channel: mail reaches nobody", "Mail reaches nobody", "on, but reaches nobody"):
        assert (said in channels) is to_files
