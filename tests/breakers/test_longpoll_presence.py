"""The agent protocol without a socket: who is there, and for how long."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from django.utils import timezone

from breakers.db import make_pool
from breakers.models import Breaker, Event, Instance
from tests.support.eventually import aeventually
from tests.support.poller import CLOSED, Poller, waiting_call
from tests.support.web import Web


async def test_a_newer_boot_takes_the_instance_and_the_older_is_told(
    web: Web, poller: Poller
) -> None:
    newer = Poller(web, boot="b2")
    async with waiting_call(poller) as call:
        await newer.hello(CLOSED)

        assert (await asyncio.wait_for(call, 30)).status_code == 409

    assert (await poller.ask(boot="b1")).status_code == 409
    assert (await newer.ask(boot="b2")).status_code == 200


async def test_a_poller_takes_the_instance_from_a_socket_and_a_socket_from_a_poller(
    web: Web,
) -> None:
    poller = Poller(web, boot="b2")
    async with web.agent(CLOSED) as older:
        await poller.hello(CLOSED)
        await poller.all()
        await aeventually(lambda: older.socket.close_code == 4409)

    async with waiting_call(poller) as call, web.agent(CLOSED, boot="b3"):
        assert (await asyncio.wait_for(call, 30)).status_code == 409


async def test_a_hello_of_a_connection_that_was_left_is_refused(web: Web, poller: Poller) -> None:
    async with web.agent(CLOSED, instance=poller.instance, boot=poller.boot, connection=2):
        hello = {"service": "orders", "environment": "prod", "breakers": [CLOSED], "connection": 1}
        hello |= {"instance": poller.instance, "boot": poller.boot}

        late = await web.call("POST", "agent/applied", {"hello": hello})
        uncounted = await poller.say(CLOSED)

    assert (late.status_code, uncounted.status_code) == (409, 200)


async def test_a_goodbye_retires_the_instance_and_ends_its_wait(web: Web, poller: Poller) -> None:
    async with waiting_call(poller) as call:
        await poller.hello(goodbye=True)

        assert (await asyncio.wait_for(call, 30)).status_code == 404

    assert (await Instance.objects.aget()).retired_at is not None
    assert (await poller.ask()).status_code == 404
    await poller.hello(CLOSED)
    assert (await poller.ask()).status_code == 200


async def test_a_lost_instance_must_say_hello_before_it_is_told_anything(
    web: Web, poller: Poller
) -> None:
    await Instance.objects.aupdate(lost_at=timezone.now())

    answer = await poller.ask()

    assert answer.status_code == 404
    assert "hello" in answer.json()["detail"]
    await poller.hello(CLOSED)
    assert (await poller.ask()).status_code == 200


async def seen_ago(seconds: float) -> None:
    await Instance.objects.aupdate(last_seen=timezone.now() - timedelta(seconds=seconds))


async def test_each_call_is_a_sign_of_life(web: Web, poller: Poller) -> None:
    for call in (poller.ask, poller.hello, lambda: poller.hello(CLOSED)):
        await seen_ago(50)
        await Instance.objects.aupdate(connected=False)
        before = timezone.now()

        await call()  # type: ignore[operator]

        found = await Instance.objects.aget()
        assert found.connected
        assert found.last_seen >= before


async def test_a_call_that_waits_is_one_too(web: Web, poller: Poller) -> None:
    async with waiting_call(poller):
        await seen_ago(50)
        before = timezone.now()

        await web.entrance.runtime.waiting._note_those_there()

        assert (await Instance.objects.aget()).last_seen >= before


async def watched_for_long() -> None:
    async with make_pool(size=1) as pool, pool.connection() as connection:
        await connection.execute("UPDATE watch SET alive_since = now() - interval '1 hour'")


async def test_three_missed_heartbeats_and_it_is_not_connected_any_more(
    web: Web, poller: Poller
) -> None:
    await watched_for_long()
    await seen_ago(31)

    await web.entrance.runtime.liveness._look()

    assert (await Instance.objects.aget()).connected is False


async def test_boards_are_told_who_is_not_connected_and_when_it_is_heard_again(
    web: Web, poller: Poller
) -> None:
    await watched_for_long()
    await seen_ago(31)
    look = web.entrance.runtime.liveness._look

    await look()
    assert (await web.breaker("orders", "catalog"))["not_connected"] == 1
    await look()
    change = (await Breaker.objects.aget()).change
    await poller.ask()
    await look()

    assert (await web.breaker("orders", "catalog"))["not_connected"] == 0
    assert (await Breaker.objects.aget()).change > change


async def test_a_minute_after_its_last_call_it_is_lost(web: Web, poller: Poller) -> None:
    await watched_for_long()
    await seen_ago(61)

    await web.entrance.runtime.liveness._look()

    assert (await web.breaker("orders", "catalog"))["state"] == "unknown"
    lost = await Event.objects.filter(reason="instance_lost").acount()
    assert lost == 1
