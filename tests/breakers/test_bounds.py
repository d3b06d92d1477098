from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async

from breakers.keys import names_made
from breakers.models import ApiKey, Breaker, Environment, Event, Instance, Service
from dashboard.metrics import _gauges
from tests.support.eventually import aeventually
from tests.support.make import make_key
from tests.support.web import Agent, Web


async def bounded(names_max: int) -> tuple[ApiKey, str]:
    return await sync_to_async(make_key)(
        name="small", scopes=["ingest", "agent"], names_max=names_max
    )


def event(**fields: Any) -> dict[str, Any]:
    return {"service": "orders", "breaker": "catalog", "environment": "prod", "to": "open"} | fields


async def test_what_is_beyond_the_bound_is_rejected_each_by_itself(web: Web) -> None:
    key, text = await bounded(3)
    await web.post_events(event(instance="one"), key=text)  # a service, an instance and a breaker

    answer = await web.post_events(
        event(instance="one"),
        event(instance="two"),
        event(breaker="stock", instance="one"),
        event(service="users", instance="one"),
        event(instance="one", to="closed"),
        key=text,
    )

    assert answer.status_code == 202
    told = answer.json()
    assert told["accepted"] == 2
    assert [(one["index"], one["errors"][0]["loc"]) for one in told["rejected"]] == [
        (1, ["instance"]),
        (2, ["breaker"]),
        (3, ["service"]),
    ]
    assert "as many names as it may" in told["rejected"][0]["errors"][0]["msg"]
    await key.arefresh_from_db()
    assert key.names_refused == 3
    assert key.names_refused_at is not None
    assert (await sync_to_async(names_made)())[key.pk] == 3


async def test_a_runaway_makes_no_row_beyond_its_bound(web: Web) -> None:
    key, text = await bounded(10)
    for start in range(0, 200, 50):
        await web.post_events(
            *[
                event(service=f"s{n}", environment=f"e{n}", instance=f"i{n}")
                for n in range(start, start + 50)
            ],
            key=text,
        )

    rows = [await table.objects.acount() for table in (Service, Instance, Breaker)]
    assert sum(rows) == 10
    assert await Environment.objects.acount() == await Service.objects.acount()
    await key.arefresh_from_db()
    assert await Event.objects.acount() == 200 - key.names_refused


async def test_known_names_are_not_counted_again_and_other_keys_have_their_own_bound(
    web: Web,
) -> None:
    _, text = await bounded(3)
    await web.post_events(event(instance="one"), key=text)

    for _ in range(5):
        assert (await web.post_events(event(instance="one"), key=text)).json()["accepted"] == 1
    assert (await web.post_events(event(instance="two"))).json()["accepted"] == 1
    # Made by another key, it is known to this one too.
    assert (await web.post_events(event(instance="two"), key=text)).json()["accepted"] == 1


async def test_a_retired_instance_makes_room(web: Web) -> None:
    _, text = await bounded(3)
    async with web.socket("/agent/v1", **web.bearer(text)) as socket:
        agent = Agent(socket)
        await agent.hello({"breaker": "catalog", "state": "closed"}, instance="one")
        await agent.say(type="goodbye")
        await socket.wait_closed()

    async def let_in() -> bool:
        answer = await web.post_events(event(instance="two"), key=text)
        return bool(answer.status_code == 202)

    await aeventually(let_in)


async def test_a_hello_beyond_the_bound_is_closed_with_the_reason(web: Web) -> None:
    key, text = await bounded(3)
    async with web.socket("/agent/v1", **web.bearer(text)) as socket:
        await Agent(socket).hello({"breaker": "catalog", "state": "closed"}, instance="one")
    async with web.socket("/agent/v1", **web.bearer(text)) as socket:
        said = {"service": "orders", "instance": "two", "boot": "b", "environment": "prod"}
        await Agent(socket).say(type="hello", breakers=[], **said)
        await socket.wait_closed()

        assert socket.close_code == 4403
        assert "as many names as it may" in (socket.close_reason or "")
    async with web.socket("/agent/v1", **web.bearer(text)) as socket:
        agent = Agent(socket)
        await agent.hello({"breaker": "catalog", "state": "closed"}, instance="one")

        ack = await agent.events(
            {"breaker": "catalog", "to": "open"}, {"breaker": "stock", "to": "open"}
        )

        assert ack["accepted"] == 1
        assert ack["rejected"][0]["errors"][0]["loc"] == ["breaker"]
    await key.arefresh_from_db()
    assert key.names_refused == 2


async def test_metrics_count_what_was_refused_and_name_nobody(web: Web) -> None:
    _, text = await bounded(1)
    await web.post_events(event(), event(), key=text)

    [family] = [one for one in await _gauges() if one.name == "panelboard_names_refused"]

    assert [(sample.labels, sample.value) for sample in family.samples] == [({}, 2.0)]
