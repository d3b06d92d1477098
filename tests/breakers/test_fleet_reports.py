"""What a whole fleet answers at once is stored together, and each answer stands or falls alone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import psycopg
import pytest
from django.conf import settings

from breakers.ingest import decide
from breakers.ingest.jobs import Report
from breakers.ingest.statements import Statements
from breakers.models import Breaker, BreakerInstance, Event, Instance
from breakers.wire import Applied
from tests.breakers.test_agents import CLOSED, close_code, force
from tests.support.eventually import aeventually
from tests.support.web import Agent, Web

SIZE = 12


@contextlib.asynccontextmanager
async def fleet(web: Web, size: int = SIZE) -> AsyncIterator[list[Agent]]:
    async with AsyncExitStack() as all_of_them:
        yield [
            await all_of_them.enter_async_context(web.agent(CLOSED, instance=f"i{number:02}"))
            for number in range(size)
        ]


async def waits(web: Web, much: int) -> None:
    """Until so much waits to be stored."""

    async def is_there() -> bool:
        return web.entrance.runtime.writer.waiting >= much

    await aeventually(is_there)


@contextlib.asynccontextmanager
async def held_up(web: Web, *, waiting: int) -> AsyncIterator[None]:
    """What is said in the block waits for the breaker's lock, but for the first in one group; the lock is let go
    once so much waits."""
    breaker = await Breaker.objects.aget()
    async with await psycopg.AsyncConnection.connect(settings.DATABASE_URL) as holder:
        await holder.execute("SELECT FROM breaker WHERE id = %s FOR UPDATE", [breaker.pk])
        yield
        await waits(web, waiting)


async def confirm(agent: Agent, revision: int, **more: Any) -> None:
    said = {"breaker": "catalog", "revision": revision, "ok": True, "state": "forced_open"}
    await agent.say(type="applied", **said | more)


async def applied(revision: int) -> list[str]:
    found = BreakerInstance.objects.filter(applied_revision=revision).order_by("instance__name")
    return [name async for name in found.values_list("instance__name", flat=True)]


async def test_a_fleets_answers_are_stored_together_and_each_is_as_said(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, together = Statements.fetch, []

    async def fetch(db: Statements, name: str, **parameters: Any) -> Any:
        if name == "store_applied":
            together.append(len(parameters["instances"]))
        return await plain(db, name, **parameters)

    monkeypatch.setattr(Statements, "fetch", fetch)
    async with fleet(web) as agents:
        revision = (await force(web))["revision"]
        async with held_up(web, waiting=SIZE):
            for agent in agents[1:]:
                await confirm(agent, revision)
            await agents[0].say(
                type="applied",
                breaker="catalog",
                revision=revision,
                ok=False,
                error='it\'s \\ "odd"',
            )

        async def all_told() -> bool:
            shown = (await web.breaker("orders", "catalog"))["override"]
            return bool((shown["applied"], shown["pending"]) == (SIZE - 1, 1))

        await aeventually(all_told)

    assert sum(together) == SIZE
    assert len(together) <= 3
    refused = await BreakerInstance.objects.aget(instance__name="i00")
    assert (refused.applied_revision, refused.refused_revision) == (0, revision)
    assert refused.refused_error == 'it\'s \\ "odd"'
    assert await applied(revision) == [f"i{number:02}" for number in range(1, SIZE)]
    assert await Event.objects.filter(reason="applied", to_state="forced_open").acount() == SIZE - 1


async def test_two_answers_of_one_agent_in_one_group_are_stored_in_their_order(web: Web) -> None:
    async with fleet(web, 3) as agents:
        await force(web)
        newest = (await force(web, mode="forced_closed"))["revision"]
        async with held_up(web, waiting=6):
            for agent in agents:
                await confirm(agent, newest - 1)
            for agent in agents:
                await confirm(agent, newest, state="forced_closed")

        async def all_there() -> bool:
            return len(await applied(newest)) == 3

        await aeventually(all_there)
        shown = await web.breaker("orders", "catalog")

    assert shown["states"] == {"forced_closed": 3}
    one = await Instance.objects.aget(name="i01")
    told = Event.objects.filter(instance_id=one.pk, reason="applied").order_by("occurred_at")
    assert [event.to_state async for event in told] == ["forced_open", "forced_closed"]


async def test_an_answer_that_cannot_be_stored_takes_no_other_with_it(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = decide.Decisions._news_of_report

    def faulty(decisions: decide.Decisions, job: Any) -> Any:
        if job.applied.natural_state == "half_open":
            raise OverflowError
        return plain(decisions, job)

    monkeypatch.setattr(decide.Decisions, "_news_of_report", faulty)
    async with fleet(web) as agents:
        revision = (await force(web))["revision"]
        for agent in agents:
            await agent.hear("desired")
        async with held_up(web, waiting=SIZE):
            for agent in agents[1:]:
                await confirm(agent, revision)
            await confirm(agents[0], revision, natural_state="half_open")

        assert await close_code(agents[0]) == 1013

        async def all_others() -> bool:
            return len(await applied(revision)) == SIZE - 1

        await aeventually(all_others)

    assert "i00" not in await applied(revision)


async def test_an_answer_on_the_older_connection_is_not_believed_after_the_newers_hello(
    web: Web,
) -> None:
    """In the same group, among the answers of others."""
    async with fleet(web, 3) as agents:
        revision = (await force(web))["revision"]
        async with web.socket("/agent/v1") as socket:
            newer = Agent(socket)
            async with held_up(web, waiting=5):
                await confirm(agents[1], revision)
                await waits(web, 1)
                greeting = asyncio.create_task(newer.hello(CLOSED, instance="i00", boot="b2"))
                await waits(web, 3)
                await confirm(agents[0], revision)
                await waits(web, 4)
                await confirm(agents[2], revision)
            await greeting

            async def others() -> bool:
                return await applied(revision) == ["i01", "i02"]

            await aeventually(others)
            taken = await Instance.objects.aget(name="i00")
            assert taken.boot == "b2"
            assert not await Event.objects.filter(instance_id=taken.pk, reason="applied").aexists()


async def test_a_report_of_a_breaker_that_was_removed_is_nobodys_and_holds_up_nobody(
    web: Web,
) -> None:
    async with web.agent(CLOSED) as agent:
        revision = (await force(web))["revision"]
        await agent.hear("desired")
        there = await BreakerInstance.objects.select_related("instance").aget()
        writer = web.entrance.runtime.writer

        def report(breaker_id: int) -> Report:
            return Report(
                service_id=there.instance.service_id,
                instance_id=there.instance_id,
                session=there.instance.session,
                breaker_id=breaker_id,
                applied=Applied(breaker="catalog", revision=revision, ok=True),
            )

        known, removed = report(there.breaker_id), report(there.breaker_id + 1_000)
        await asyncio.gather(writer.submit(removed), writer.submit(known))

    assert len(await applied(revision)) == 1


async def test_an_older_refusal_changes_nothing(web: Web) -> None:
    async with web.agent(CLOSED) as agent:
        older, newer = (await force(web))["revision"], (await force(web))["revision"]
        for revision in (newer, older):
            await confirm(agent, revision, ok=False, error=f"not {revision}")
        await confirm(agent, older)

        await aeventually(BreakerInstance.objects.filter(applied_revision=older).aexists)

    there = await BreakerInstance.objects.aget()
    assert (there.refused_revision, there.refused_error) == (newer, f"not {newer}")


async def test_one_that_is_not_believed_hides_no_other_that_is_ahead(web: Web) -> None:
    """In the same group."""
    async with (
        fleet(web, 3) as agents,
        web.socket("/agent/v1") as first,
        web.socket("/agent/v1") as second,
    ):
        revision = (await force(web))["revision"]
        async with held_up(web, waiting=5):
            await confirm(agents[2], revision)
            await waits(web, 1)
            said = [
                asyncio.create_task(
                    Agent(socket).hello(
                        CLOSED | {"applied_revision": revision}, instance=name, boot="b2"
                    )
                )
                for socket, name, revision in ((first, "i00", 2**50), (second, "i01", 20))
            ]
            await waits(web, 5)
        await asyncio.gather(*said)

        assert (await web.breaker("orders", "catalog"))["revision"] == 21
