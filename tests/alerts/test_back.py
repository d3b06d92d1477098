"""Instances that come back: what they said before they went is nobody's word any more."""

from __future__ import annotations

import pytest
from asgiref.sync import sync_to_async

from alerts.evaluate import evaluate_pending
from alerts.models import Incident
from breakers.models import Instance
from tests.support.eventually import aeventually
from tests.support.make import make_rule
from tests.support.web import Web

OPEN, CLOSED = ({"breaker": "catalog", "state": state} for state in ("open", "closed"))
FLEET = ("one", "two", "three")


async def statuses() -> list[str]:
    await sync_to_async(evaluate_pending)()
    return [one.status.value async for one in Incident.objects.order_by("id")]


async def end_well(web: Web) -> None:
    """A fleet that is open ends on purpose."""
    for name in FLEET:
        async with web.agent(OPEN, instance=name) as agent:
            await agent.say(type="goodbye")
            await aeventually(Instance.objects.filter(name=name, retired_at__isnull=False).aexists)


@pytest.mark.parametrize("by", ["hellos", "events"])
async def test_a_service_that_comes_back_healthy_fires_nothing(web: Web, by: str) -> None:
    await sync_to_async(make_rule)()
    await end_well(web)
    assert await statuses() == ["firing"]

    async with web.agent(CLOSED, instance="one", boot="b2"):
        assert await statuses() == ["resolved"]
        if by == "hellos":
            async with (
                web.agent(CLOSED, instance="two", boot="b2"),
                web.agent(CLOSED, instance="three", boot="b2"),
            ):
                assert await statuses() == ["resolved"]
        else:
            said = {
                "service": "orders",
                "environment": "prod",
                "breaker": "catalog",
                "to": "closed",
            }
            for name in ("two", "three"):
                await web.post_events(said | {"instance": name, "boot": "b2"})
            assert await statuses() == ["resolved"]


async def test_a_process_that_has_said_nothing_yet_is_not_judged_by_its_former_life(
    web: Web,
) -> None:
    await sync_to_async(make_rule)()
    await end_well(web)
    assert await statuses() == ["firing"]

    async with web.agent(CLOSED, instance="one", boot="b2"):
        assert await statuses() == ["resolved"]
        async with web.agent(instance="two", boot="b2") as agent:
            assert await statuses() == ["resolved"]
            await agent.hello(CLOSED, instance="two", boot="b2")
            assert await statuses() == ["resolved"]
        async with web.agent(instance="three", boot="b2") as agent:
            await agent.hello(OPEN, instance="three", boot="b2")
            assert await statuses() == ["resolved", "firing"]


async def test_what_comes_back_open_is_an_incident(web: Web) -> None:
    await sync_to_async(make_rule)()
    await end_well(web)

    async with web.agent(CLOSED, instance="one", boot="b2"):
        assert await statuses() == ["resolved"]
        async with web.agent(OPEN, instance="two", boot="b2"):
            assert await statuses() == ["resolved", "firing"]
