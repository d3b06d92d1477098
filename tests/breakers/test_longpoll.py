"""The agent protocol without a socket: what a poller is told, and when."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from breakers.agents.telling import Telling
from breakers.models import Breaker, Instance
from tests.support.eventually import aeventually
from tests.support.poller import CLOSED, FORCE, Poller, applied, force, release, waiting_call
from tests.support.web import Web


async def test_a_hello_shows_the_breaker_and_the_instance_is_connected(web: Web) -> None:
    told = await Poller(web).hello(CLOSED)

    assert told == {"accepted": 0, "rejected": [], "heartbeat": 10}
    shown = await web.breaker("orders", "catalog")
    assert (shown["state"], shown["target"]) == ("closed", "catalog")
    assert (await Instance.objects.aget()).connected is True


async def test_the_hellos_fields_may_stand_beside_applied(web: Web) -> None:
    flat = {"service": "orders", "instance": "one", "boot": "b1", "breakers": [CLOSED]}

    answer = await web.call("POST", "agent/applied", flat | {"applied": []})

    assert answer.status_code == 200, answer.text
    assert (await web.breaker("orders", "catalog"))["environment"] == "default"


async def test_without_a_cursor_all_is_told_at_once(web: Web, poller: Poller) -> None:
    made = await force(web)

    [desired] = await poller.all()

    assert (desired["type"], desired["breaker"]) == ("desired", "catalog")
    assert (desired["mode"], desired["revision"]) == ("forced_open", made["revision"])
    assert 590 < desired["expires_in"] <= 600
    assert desired["command"] is None


async def test_a_wish_ends_the_wait_at_once_and_is_confirmed(web: Web, poller: Poller) -> None:
    async with waiting_call(poller) as call:
        made = await force(web)

        [desired] = poller._take(await asyncio.wait_for(call, 30))

    assert (desired["mode"], desired["revision"]) == ("forced_open", made["revision"])
    told = await poller.hello(
        applied=[
            {
                "breaker": "catalog",
                "revision": made["revision"],
                "ok": True,
                "state": "forced_open",
                "natural_state": "closed",
            }
        ]
    )
    assert told["accepted"] == 1
    assert await applied(web) == 1
    assert (await web.breaker("orders", "catalog"))["state"] == "forced_open"


async def test_what_changed_between_two_calls_is_told_by_the_second(
    web: Web, poller: Poller
) -> None:
    await force(web)
    await release(web)

    [desired] = await poller.next()

    assert (desired["mode"], desired["revision"]) == (None, 2)
    assert await poller.next(wait=0) == []


async def test_nothing_new_is_an_empty_list_after_the_wait(poller: Poller) -> None:
    assert await poller.next(wait=0.05) == []


async def test_each_revision_is_told_once_and_they_only_grow(web: Web, poller: Poller) -> None:
    told: list[int] = []
    for _ in range(5):
        await force(web)
        told += [desired["revision"] for desired in await poller.next()]

    assert told == [1, 2, 3, 4, 5]


async def test_a_slower_reading_never_brings_an_older_revision(web: Web, poller: Poller) -> None:
    runtime = web.entrance.runtime
    await force(web)
    service = (await Breaker.objects.aget()).service_id
    older = await runtime.agents.read(service, after=0)
    await release(web)
    assert [desired["revision"] for desired in await poller.next()] == [2]

    async with waiting_call(poller) as call:
        [waiter] = runtime.waiting._waiters
        waiter.tell(Telling(older))
        assert not waiter.outcome.done()
        await force(web)

        assert [d["revision"] for d in poller._take(await call)] == [3]


async def test_outside_an_overrides_scope_the_mode_is_null_and_confirmed_too(
    web: Web, poller: Poller
) -> None:
    made = await force(web, instances=["another"])

    [desired] = await poller.next()

    assert (desired["mode"], desired["revision"]) == (None, made["revision"])


async def test_an_override_ends_at_its_expiry_with_a_revision(web: Web, poller: Poller) -> None:
    await force(web, expires_in=1)
    [forced] = await poller.next()

    [ended] = await poller.next()

    assert forced["mode"] == "forced_open"
    assert (ended["mode"], ended["revision"]) == (None, forced["revision"] + 1)


async def test_a_command_reaches_those_known_when_it_was_given(web: Web, poller: Poller) -> None:
    id = (await web.breaker("orders", "catalog"))["id"]
    given = await web.call("POST", f"breakers/{id}/commands", {"command": "trip", "reason": "try"})

    [desired] = await poller.next()

    assert desired["command"]["id"] == given.json()["id"]
    assert 0 < desired["command"]["expires_in"] <= 60
    later = Poller(web, instance="later")
    await later.hello(CLOSED)
    assert [one["command"] for one in await later.all()] == [None]


async def test_a_breaker_presented_later_brings_what_stands_on_it(web: Web, poller: Poller) -> None:
    other = Poller(web, instance="other")
    await other.hello({"breaker": "stock", "state": "closed"})
    id = (await web.breaker("orders", "stock"))["id"]
    await web.call("PUT", f"breakers/{id}/override", FORCE)
    await force(web)
    assert [one["breaker"] for one in await poller.next()] == ["catalog"]

    async with waiting_call(poller) as call:
        await poller.hello(CLOSED, {"breaker": "stock", "state": "closed"})

        told = poller._take(await asyncio.wait_for(call, 30))

    assert {one["breaker"]: one["mode"] for one in told} == {
        "catalog": "forced_open",
        "stock": "forced_open",
    }
    assert await poller.next(wait=0) == []


async def test_saying_hello_again_ends_no_wait_and_repeats_nothing(
    web: Web, poller: Poller
) -> None:
    await force(web)
    assert len(await poller.next()) == 1

    async with waiting_call(poller) as call:
        await poller.hello(CLOSED)
        await force(web)

        assert [d["revision"] for d in poller._take(await asyncio.wait_for(call, 30))] == [2]
    await poller.hello(CLOSED)
    assert await poller.next(wait=0.05) == []


async def test_an_agent_ahead_of_a_restored_database_is_told_what_stands_anew(
    web: Web, poller: Poller
) -> None:
    await force(web)

    await poller.hello(CLOSED | {"applied_revision": 900})

    assert [desired["revision"] for desired in await poller.next()] == [901]


async def test_a_revision_that_no_backup_can_lack_is_not_believed(web: Web, poller: Poller) -> None:
    said = await poller.hello(CLOSED | {"applied_revision": 2**41})
    override = await force(web)
    answer = {"breaker": "catalog", "revision": 2**41, "ok": True, "state": "forced_open"}

    assert [one["code"] for one in said["warnings"]] == ["revision_unknown"]
    assert override["revision"] == 1
    assert "warnings" not in await poller.hello(applied=[answer])
    assert await applied(web) == 0


async def test_a_cursor_from_before_a_restore_brings_everything(web: Web, poller: Poller) -> None:
    await force(web)
    await poller.next()
    service = (await Breaker.objects.select_related("service").aget()).service
    service.desired_number = 0
    await service.asave()

    assert [desired["mode"] for desired in await poller.next()] == ["forced_open"]


async def test_an_instance_that_never_said_hello_is_told_of_the_whole_service(
    web: Web, poller: Poller
) -> None:
    await force(web)
    stranger = Poller(web, instance="stranger")
    assert [desired["mode"] for desired in await stranger.all()] == ["forced_open"]
    assert await Instance.objects.acount() == 1

    async with waiting_call(stranger) as call:
        await release(web)
        assert [d["mode"] for d in stranger._take(await asyncio.wait_for(call, 30))] == [None]

    assert (await stranger.ask(boot="b1")).status_code == 200
    await stranger.hello({"breaker": "stock", "state": "closed"})
    assert await stranger.next() == []


async def test_an_instance_known_by_events_may_ask_without_a_hello(web: Web) -> None:
    await web.post_events(
        {"service": "orders", "environment": "prod", "instance": "one", "breaker": "catalog"}
        | {"to": "closed"}
    )
    await force(web)
    poller = Poller(web)

    assert [desired["mode"] for desired in await poller.all()] == ["forced_open"]
    assert (await Instance.objects.aget()).connected is True
    assert await poller.next(wait=0) == []
    assert (await poller.ask(boot="b1")).status_code == 200
    await poller.hello(CLOSED)
    assert [desired["mode"] for desired in await poller.next()] == ["forced_open"]


async def test_sockets_and_pollers_are_told_side_by_side(web: Web, poller: Poller) -> None:
    async with web.agent(CLOSED, instance="two") as agent, waiting_call(poller) as call:
        made = await force(web)

        told = await agent.hear("desired")
        [polled] = poller._take(await asyncio.wait_for(call, 30))

    assert told["revision"] == polled["revision"] == made["revision"]


async def test_hundreds_that_ask_at_once_are_all_answered(web: Web, poller: Poller) -> None:
    """As after a restart: more than may wait for a connection of the pool."""
    limits = httpx2.Limits(max_connections=400)
    async with httpx2.AsyncClient(
        base_url=f"http://{web.host}", trust_env=False, limits=limits, timeout=60
    ) as http:
        asked = {"service": "orders", "environment": "prod", "instance": "one"}
        asked |= {"after": str(poller.cursor), "wait": "0"}
        calls = [
            http.get("/api/v1/agent/desired", params=asked, headers=web.bearer())
            for _ in range(400)
        ]

        assert {answer.status_code for answer in await asyncio.gather(*calls)} == {200}


async def test_what_the_hub_tells_before_the_call_has_read_hides_nothing_older(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = [{"breaker": name, "state": "closed"} for name in ("catalog", "users")]
    poller = Poller(web)
    await poller.hello(*two)
    await poller.all()
    hub = web.entrance.runtime.agents
    told = asyncio.Event()
    plainly = hub.read

    async def read_late(service: int, *, after: int) -> Any:
        [waiter] = web.entrance.runtime.waiting._waiters
        tell = waiter.tell
        monkeypatch.setattr(waiter, "tell", lambda wishes: (tell(wishes), told.set()))
        id = (await web.breaker("orders", "users"))["id"]
        await web.call("PUT", f"breakers/{id}/override", FORCE)
        await asyncio.wait_for(told.wait(), 30)
        return await plainly(service, after=after)

    async with web.agent(*two, instance="another"):
        await force(web)
        await aeventually(lambda: set(hub._read_to.values()) == {1})
        monkeypatch.setattr(hub, "read", read_late)
        heard = await poller.next()

    assert {wish["breaker"] for wish in heard} == {"catalog", "users"}
