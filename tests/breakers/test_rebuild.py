from __future__ import annotations

from io import StringIO

import pytest
from asgiref.sync import sync_to_async
from django.core.management import call_command

from breakers.models import Boot, BreakerInstance
from tests.support.web import Web

CLOSED = {"breaker": "catalog", "state": "closed"}


def rebuild(*arguments: str) -> tuple[str, int]:
    told = StringIO()
    try:
        call_command("rebuild_state", *arguments, stdout=told)
    except SystemExit as end:
        return told.getvalue(), int(str(end.code))
    return told.getvalue(), 0


async def some_history(web: Web) -> None:
    async with web.agent(CLOSED) as agent:
        await agent.events(
            {"breaker": "catalog", "to": "open", "seq": 1},
            {"breaker": "catalog", "to": "half_open", "seq": 2},
        )
    await web.post_events(
        {"service": "feed", "breaker": "db", "environment": "prod", "to": "open"},
        {"service": "feed", "breaker": "db", "environment": "prod", "to": "open"},
    )


async def test_current_state_is_what_history_says(web: Web) -> None:
    await some_history(web)

    told, code = await sync_to_async(rebuild)("--check")

    assert (told.strip(), code) == ("Current state is what history says.", 0)


async def test_a_difference_is_told_by_check_and_mended_without(web: Web) -> None:
    await some_history(web)
    before = [row async for row in BreakerInstance.objects.order_by("id").values()]
    await BreakerInstance.objects.aupdate(state="closed", since=None, event_id=None)
    await Boot.objects.all().adelete()

    _, found = await sync_to_async(rebuild)("--check")
    told, mended = await sync_to_async(rebuild)()
    _, after = await sync_to_async(rebuild)("--check")

    assert (found, mended, after) == (1, 0, 0)
    assert "mended" in told
    assert [row async for row in BreakerInstance.objects.order_by("id").values()] == before
    assert (await web.breaker("feed", "db"))["state"] == "open"


@pytest.mark.django_db
def test_an_empty_panel_is_as_history_says() -> None:
    assert rebuild("--check")[1] == 0
