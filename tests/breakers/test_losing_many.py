"""Of instances with many breakers that go at once the writer has a group's worth at a time, and others their turn."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from breakers.agents.liveness import _portions
from breakers.ingest.jobs import Batch, Disconnect, Job
from breakers.ingest.queue import GROUP_MAX
from breakers.models import Instance
from breakers.states import State
from tests.breakers.test_longpoll_presence import seen_ago, watched_for_long
from tests.support.held import held_up
from tests.support.web import Web
from tests.support.writing import happened, writer

MANY = [{"breaker": f"b{number}", "state": "closed"} for number in range(900)]


async def test_they_are_lost_in_portions_of_so_many_breakers() -> None:
    lost = _portions([(1, 1500), (2, 400), (3, 1500), (4, 50_000), (5, 0)])

    assert [[id for id, _ in some] for some in lost] == [[1, 2], [3], [4], [5]]


@pytest.mark.django_db(transaction=True)
async def test_what_the_server_finds_out_leaves_room_for_others() -> None:
    async with writer() as one:
        gone = [
            Disconnect(instance_id=number, session=uuid.uuid4(), breakers=3000)
            for number in range(100)
        ]
        leaving = [asyncio.create_task(one.commit_aside(job)) for job in gone]
        event = Batch(events=[happened(1, State.OPEN, occurred_at=datetime.now(UTC))])
        most = 0
        stored = asyncio.create_task(one.commit(event))
        while not stored.done():
            await asyncio.sleep(0)
            most = max(most, one.waiting)

        assert most <= GROUP_MAX + 1
        assert not all(task.done() for task in leaving)
        assert not any(await asyncio.gather(*leaving))


async def test_all_are_lost_and_others_are_heard_meanwhile(web: Web) -> None:
    for number in range(5):
        async with web.agent(*MANY, instance=f"i{number}"):
            pass
    await watched_for_long()
    await seen_ago(61)
    await Instance.objects.filter(name="i0").aupdate(last_seen=timezone.now())

    await web.entrance.runtime.liveness._look()

    lost = Instance.objects.exclude(lost_at=None).order_by("name")
    assert [one.name async for one in lost] == ["i1", "i2", "i3", "i4"]
    shown = (await web.get("breakers", service="orders", limit=1000))["items"]
    assert len(shown) == len(MANY)
    assert all(one["states"] == {"closed": 1, "unknown": 4} for one in shown)


@pytest.mark.parametrize("silent_for", [40, 61])
async def test_a_breaker_that_somebody_holds_keeps_no_other_instance_from_being_lost(
    web: Web, silent_for: int
) -> None:
    for name in ("held", "free"):
        async with web.agent({"breaker": name, "state": "open"}, service=name, instance=name):
            pass
    await watched_for_long()
    await seen_ago(61)
    # Not lost yet, but to be shown as not connected; or to be lost together with the other.
    quiet = timezone.now() - timedelta(seconds=silent_for)
    await Instance.objects.filter(name="held").aupdate(last_seen=quiet, connected=silent_for < 60)

    async with held_up("held"):
        await web.entrance.runtime.liveness._look()

        lost = Instance.objects.exclude(lost_at=None)
        assert [one.name async for one in lost] == ["free"]


async def test_nobody_is_looked_through_before_all_could_be_heard(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with web.agent(MANY[0]):
        pass
    await seen_ago(61)
    loaded: list[Job[Any]] = []
    commit = web.entrance.runtime.writer.commit_aside

    async def noting(job: Job[Any]) -> Any:
        loaded.append(job)
        return await commit(job)

    monkeypatch.setattr(web.entrance.runtime.writer, "commit_aside", noting)

    await web.entrance.runtime.liveness._look()

    assert loaded == []
