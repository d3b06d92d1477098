"""What one request says of several breakers is judged in the order in which it happened."""

from __future__ import annotations

from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from alerts.evaluate import evaluate_pending
from alerts.models import Incident
from tests.support.make import make_rule
from tests.support.web import Web

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    ("happened", "incidents"),
    [
        (["a open", "b open", "a closed", "b closed"], [2]),
        (["a open", "a closed", "b open", "b closed"], [1, 1]),
        (["b open", "b closed", "a open", "b open", "a closed", "b closed"], [1, 2]),
    ],
)
async def test_breakers_of_one_target_are_one_incident_where_they_were_open_together(
    web: Web, happened: list[str], incidents: list[int]
) -> None:
    await sync_to_async(make_rule)()
    began = timezone.now() - timedelta(seconds=30)
    events = [
        {
            "service": "orders",
            "breaker": word.split()[0],
            "target": "catalog",
            "to": word.split()[1],
            "occurred_at": (began + n * timedelta(seconds=1)).isoformat(),
        }
        for n, word in enumerate(happened)
    ]

    await web.post_events(*events)
    await sync_to_async(evaluate_pending)()

    found = [one async for one in Incident.objects.order_by("pk")]
    assert [one.breakers_total for one in found] == incidents
    assert {one.status for one in found} == {"resolved"}
