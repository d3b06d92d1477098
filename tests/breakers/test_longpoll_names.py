"""An agent that asks, while what it speaks of is renamed or removed under it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.poller import CLOSED, FORCE, Poller, waiting_call
from tests.support.web import Web

WHY = {"reason": "a better name"}


async def only(web: Web, path: str) -> dict[str, Any]:
    [one] = (await web.get(path))["items"]
    return dict(one)


async def rename(web: Web, path: str, name: str) -> None:
    id = (await only(web, path))["id"]
    answer = await web.call("POST", f"{path}/{id}/rename", WHY | {"name": name})
    assert answer.status_code == 200, answer.text


async def force(web: Web, **wish: Any) -> None:
    id = (await only(web, "breakers"))["id"]
    answer = await web.call("PUT", f"breakers/{id}/override", FORCE | wish)
    assert answer.status_code == 200, answer.text


async def confirms(poller: Poller, breaker: str, revision: int) -> None:
    done = {"breaker": breaker, "revision": revision, "ok": True, "state": "forced_open"}
    answer = await poller.web.http.post(
        "/api/v1/agent/applied",
        json={
            "service": "orders",
            "environment": "prod",
            "instance": poller.instance,
            "boot": poller.boot,
            "applied": [done],
        },
        headers=poller.web.bearer(),
    )
    assert answer.json()["rejected"] == [], answer.text
    assert (await only(poller.web, "breakers"))["override"]["applied"] == 1


async def test_a_renamed_breaker_is_spoken_of_by_the_name_that_the_agent_says(
    web: Web, poller: Poller
) -> None:
    async with waiting_call(poller) as call:
        await rename(web, "breakers", "products")
        await force(web)
        [wish] = poller._take(await call)

    assert (wish["breaker"], wish["mode"]) == ("catalog", "forced_open")
    await confirms(poller, "catalog", wish["revision"])
    assert [one["breaker"] for one in await poller.all()] == ["catalog"]

    await poller.hello(CLOSED | {"breaker": "products"}, boot="b1")

    assert [one["breaker"] for one in await poller.all()] == ["products"]
    await poller.hello(CLOSED)
    assert [one["breaker"] for one in await poller.all()] == ["catalog"]


async def test_under_its_services_former_name_an_instance_goes_on(web: Web, poller: Poller) -> None:
    await rename(web, "services", "shop")
    await force(web)

    [wish] = await poller.next()

    assert wish["mode"] == "forced_open"
    await confirms(poller, "catalog", wish["revision"])


@pytest.mark.parametrize("named", ["former", "new"])
async def test_a_wish_for_a_renamed_instance_is_its(web: Web, poller: Poller, named: str) -> None:
    if named == "former":
        await force(web, instances=["one"])
        assert [one["mode"] for one in await poller.next()] == ["forced_open"]
    await rename(web, "instances", "renamed")
    if named == "new":
        await force(web, instances=["renamed"])

    assert [one["mode"] for one in await poller.all()] == ["forced_open"]


@pytest.mark.parametrize("path", ["breakers", "services", "instances"])
async def test_after_a_removal_a_hello_is_due_and_nothing_is_wished_any_more(
    web: Web, poller: Poller, path: str
) -> None:
    await force(web, no_expiry=True, expires_in=None)
    [wish] = await poller.next()
    await confirms(poller, "catalog", wish["revision"])

    answer = await web.call("DELETE", f"{path}/{(await only(web, path))['id']}", {"reason": "over"})
    assert answer.status_code == 204, answer.text
    asked = {"after": poller.cursor, "wait": 20}
    # A sign of life in between makes it known again, and tells its agent nothing.
    assert (await poller.say()).status_code == 200

    assert (await poller.ask(**asked)).status_code == 404
    await poller.hello(CLOSED | {"state": "forced_open", "natural_state": "closed"})
    left = await poller.all()

    if path == "instances":  # the breaker is there yet, and so is what is wished of it
        assert [one["mode"] for one in left] == ["forced_open"]
    else:
        assert left == []
    assert (await only(web, "breakers"))["instances"] == 1
