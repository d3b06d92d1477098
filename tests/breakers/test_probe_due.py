"""When the library of an open breaker lets the next call through: kept while that opening stands, and no longer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from breakers.models import BreakerInstance
from tests.breakers.test_rebuild import rebuild
from tests.support.web import Web

NOW = datetime.now(UTC)
OPEN = {"service": "orders", "breaker": "catalog", "environment": "prod", "to": "open"}
EDGES = ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"]


def at(seconds: float) -> str:
    """A time so many seconds from now, as the panel gives it back."""
    return (NOW + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def opened(**fields: Any) -> dict[str, Any]:
    return OPEN | {"occurred_at": at(-10)} | fields


def snapshot(**fields: Any) -> dict[str, Any]:
    return OPEN | {"type": "snapshot", "occurred_at": at(-5), "metrics": {"calls": 1}} | fields


async def shown(web: Web) -> tuple[str | None, list[str | None]]:
    """What the summary says, and each instance."""
    summary = await web.breaker("orders", "catalog")
    found = (await web.get(f"breakers/{summary['id']}/instances"))["items"]
    return summary["probe_due_at"], [one["probe_due_at"] for one in found]


async def test_it_comes_with_the_opening_and_goes_with_it(web: Web) -> None:
    await web.post_events(opened(probe_due_at=at(20)))
    assert await shown(web) == (at(20), [at(20)])

    await web.post_events(OPEN | {"to": "half_open"})
    assert await shown(web) == (None, [None])


async def test_one_that_is_over_stands_until_a_call_comes(web: Web) -> None:
    await web.post_events(opened(occurred_at=at(-3600), probe_due_at=at(-3570)))
    await web.post_events(snapshot())

    assert await shown(web) == (at(-3570), [at(-3570)])


async def test_another_opening_says_it_of_itself(web: Web) -> None:
    await web.post_events(opened(probe_due_at=at(20)))
    await web.post_events(opened(occurred_at=at(-6), to="half_open"), opened(occurred_at=at(-5)))
    assert await shown(web) == (None, [None])

    await web.post_events(
        opened(occurred_at=at(-4), probe_due_at=at(40)),
        opened(occurred_at=at(-3), to="half_open"),
        opened(occurred_at=at(-2), probe_due_at=at(60)),
    )
    assert await shown(web) == (at(60), [at(60)])


async def test_a_snapshot_says_it_of_the_opening_that_stands(web: Web) -> None:
    await web.post_events(opened())
    await web.post_events(snapshot(occurred_at=at(-11), probe_due_at=at(1)))
    assert await shown(web) == (None, [None])

    await web.post_events(snapshot(occurred_at=at(-5), probe_due_at=at(20)))
    await web.post_events(snapshot(occurred_at=at(-6), probe_due_at=at(2)))
    assert await shown(web) == (at(20), [at(20)])

    await web.post_events(opened(occurred_at=at(-4), to="closed"))
    await web.post_events(snapshot(occurred_at=at(-3), probe_due_at=at(30)))
    assert await shown(web) == (None, [None])


async def test_a_late_opening_says_nothing_of_the_one_that_stands(web: Web) -> None:
    await web.post_events(opened(probe_due_at=at(20)))
    await web.post_events(opened(occurred_at=at(-60), probe_due_at=at(-30)))

    assert await shown(web) == (at(20), [at(20)])


async def test_the_board_has_the_earliest_of_the_open_instances(web: Web) -> None:
    await web.post_events(
        opened(instance="one", probe_due_at=at(20)),
        opened(instance="two", probe_due_at=at(15)),
        opened(instance="three", to="closed", probe_due_at=at(5)),
    )

    summary, instances = await shown(web)
    assert summary == at(15)
    assert set(instances) == {at(20), at(15), None}


@pytest.mark.parametrize(
    "due", ["soon", 1, "2026-11-09T14:02:00", timedelta(days=1), timedelta(days=-366), *EDGES]
)
async def test_nonsense_is_refused_and_says_where(web: Web, due: Any) -> None:
    if isinstance(due, timedelta):
        due = at(due.total_seconds())

    answer = await web.post_events(opened(probe_due_at=due))

    assert answer.status_code == 422
    [rejected] = answer.json()["rejected"]
    assert [error["loc"] for error in rejected["errors"]] == [["probe_due_at"]]


async def test_it_is_measured_by_the_clock_that_said_it(web: Web) -> None:
    answer = await web.post_events(
        opened(occurred_at=at(240), probe_due_at=at(240 + 86_400)),
        opened(occurred_at=at(-6 * 86_400), probe_due_at=at(-7.5 * 86_400)),
    )

    assert answer.json()["accepted"] == 2


async def test_an_agent_says_it_in_events_and_in_a_hello(web: Web) -> None:
    hello = {"breaker": "catalog", "state": "open", "probe_due_at": at(20)}
    async with web.agent(hello) as agent:
        assert await shown(web) == (at(20), [at(20)])

        ack = await agent.events(
            {"breaker": "catalog", "to": "half_open", "seq": 1},
            {"breaker": "catalog", "to": "open", "seq": 2, "probe_due_at": at(50)},
        )
        assert ack["rejected"] == []
        assert await shown(web) == (at(50), [at(50)])


async def test_a_hello_says_it_of_a_state_that_is_known(web: Web) -> None:
    async with web.agent({"breaker": "catalog", "state": "open"}):
        assert await shown(web) == (None, [None])

    async with web.agent({"breaker": "catalog", "state": "open", "probe_due_at": at(30)}):
        assert await shown(web) == (at(30), [at(30)])


@pytest.mark.parametrize("due", EDGES)
async def test_nonsense_in_a_hello_is_passed_over(web: Web, due: str) -> None:
    async with web.agent({"breaker": "catalog", "state": "open", "probe_due_at": due}):
        assert await shown(web) == (None, [None])


async def test_a_rebuild_agrees_and_leaves_no_time_of_another_opening(web: Web) -> None:
    await web.post_events(opened(id="e1", probe_due_at=at(20)), opened(service="feed", id="e2"))
    held = BreakerInstance.objects.filter(breaker__service__name="orders")

    assert (await sync_to_async(rebuild)("--check"))[1] == 0
    await sync_to_async(rebuild)()
    assert (await held.aget()).probe_due_at is not None

    await held.aupdate(event_id="another")
    await sync_to_async(rebuild)()
    assert (await held.aget()).event_id == "e1"
    assert await shown(web) == (None, [None])


async def test_a_past_board_does_not_know_it(web: Web) -> None:
    await web.post_events(opened(probe_due_at=at(20)))

    [then] = (await web.get("breakers", at=at(-1)))["items"]
    assert (then["state"], then["probe_due_at"]) == ("open", None)
