"""Another name for what is there, and the former one leading to it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from breakers.agents.retire import prune_retired
from breakers.models import AuditEntry, Breaker, FormerName, Instance, Role, Service
from breakers.renaming import rename_service
from tests.alerts.api.callers import Caller
from tests.support.eventually import aeventually
from tests.support.make import make_actor, make_breaker, make_instance, make_key, make_rule
from tests.support.people import signed_in
from tests.support.web import Agent, Watcher, Web, serve

WHY = {"reason": "a better word"}
CLOSED = {"breaker": "catalog", "state": "closed", "target": "catalog"}
EVENT = {"service": "orders", "breaker": "catalog", "environment": "prod", "to": "open"}


async def rename(web: Web, path: str, name: str) -> dict[str, Any]:
    answer = await web.call("POST", f"{path}/rename", WHY | {"name": name})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def only(web: Web, what: str) -> dict[str, Any]:
    [one] = (await web.get(what))["items"]
    return dict(one)


async def test_what_reports_under_a_former_name_goes_on_where_it_was(web: Web) -> None:
    await web.post_events(EVENT)
    before = await only(web, "breakers")
    await rename(web, f"services/{(await only(web, 'services'))['id']}", "shop")
    await rename(web, f"breakers/{before['id']}", "products")
    await rename(web, f"instances/{(await only(web, 'instances'))['id']}", "one")

    # By names that this process remembers, by names that none does, and by the new ones.
    await web.post_events(EVENT | {"to": "half_open"})
    async with serve() as other:
        await other.post_events(EVENT | {"to": "open"}, key=web.key)
    new = {"service": "shop", "breaker": "products", "instance": "one", "to": "closed"}
    await web.post_events(EVENT | new)

    after = await only(web, "breakers")
    assert after["id"] == before["id"]
    assert (after["service"], after["breaker"], after["state"]) == ("shop", "products", "closed")
    assert after["instances"] == 1
    assert (await only(web, "instances"))["instance"] == "one"
    assert len((await web.get(f"breakers/{before['id']}/events"))["items"]) == 4


async def test_boards_show_the_new_name_at_once(web: Web) -> None:
    await web.post_events(EVENT)
    async with web.socket("/live/v1") as socket:
        watcher = Watcher(socket)
        await watcher.subscribe()
        await watcher.take()
        await rename(web, f"services/{(await only(web, 'services'))['id']}", "shop")

        await watcher.until(lambda board: {one["service"] for one in board.values()} == {"shop"})


async def test_an_agent_hears_of_a_renamed_breaker_by_the_name_that_it_knows(web: Web) -> None:
    async with web.agent(CLOSED) as agent:
        id = (await only(web, "breakers"))["id"]
        await rename(web, f"breakers/{id}", "products")
        wish = {"mode": "forced_open", "reason": "maintenance", "no_expiry": True}

        revision = (await web.call("PUT", f"breakers/{id}/override", wish)).json()["revision"]

        desired = await agent.hear("desired")
        assert (desired["breaker"], desired["mode"]) == ("catalog", "forced_open")
        told = {"breaker": "catalog", "revision": revision, "ok": True, "state": "forced_open"}
        await agent.say(type="applied", **told)
        await aeventually(lambda: _applied(web, id))
    async with web.agent(CLOSED | {"applied_revision": 0}, boot="b2") as again:
        [welcomed] = again.welcome["desired"]
        assert welcomed["breaker"] == "catalog"


async def _applied(web: Web, id: str) -> bool:
    return bool((await web.get(f"breakers/{id}"))["override"]["applied"] == 1)


async def test_an_override_of_a_renamed_instance_still_reaches_it(web: Web) -> None:
    async with web.agent(CLOSED) as agent:
        id = (await only(web, "breakers"))["id"]
        path = f"breakers/{id}/override"
        wish = {"mode": "forced_open", "reason": "r", "no_expiry": True, "instances": ["one"]}
        await web.call("PUT", path, wish)
        assert (await agent.hear("desired"))["mode"] == "forced_open"
        await rename(web, f"instances/{(await only(web, 'instances'))['id']}", "first")
        assert (await only(web, "overrides"))["instances"] == ["first"]

        # It is asked to say hello again, and stays who it is.
        await asyncio.wait_for(agent.socket.wait_closed(), 30)
        assert agent.socket.close_code == 1012
    async with web.socket("/agent/v1") as socket:
        agent = Agent(socket)
        await agent.hello(CLOSED)
        assert [one["mode"] for one in agent.welcome["desired"]] == ["forced_open"]
        await web.call("PUT", path, wish | {"mode": "forced_closed", "instances": ["first"]})
        assert (await agent.hear("desired"))["mode"] == "forced_closed"
        assert await Instance.objects.acount() == 1


@pytest.mark.parametrize("says_goodbye", [True, False])
async def test_who_leaves_before_it_says_hello_again_has_left_all_the_same(
    web: Web, says_goodbye: bool
) -> None:
    async with web.agent(CLOSED) as agent:
        await rename(web, f"instances/{(await only(web, 'instances'))['id']}", "first")
        if says_goodbye:
            await agent.say(type="goodbye")

    async def has_left() -> bool:
        instance = await Instance.objects.aget()
        assert instance.connected is False
        assert (instance.retired_at is not None) is says_goodbye
        return True

    await aeventually(has_left)


@pytest.mark.django_db
def test_it_is_audited_with_both_names() -> None:
    call, breaker = Caller(), make_breaker("catalog")

    call("POST", f"/breakers/{breaker.pk}/rename", WHY | {"name": "products"})
    call("POST", f"/breakers/{breaker.pk}/rename", WHY | {"name": "products"})

    entry = AuditEntry.objects.get(action="rename_breaker")
    assert (entry.before, entry.after) == ({"name": "catalog"}, {"name": "products"})
    assert entry.subject == "prod / orders / products"
    assert entry.reason == "a better word"


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["", "a\0b", "x" * 201, "a\nb"])
def test_a_name_that_nobody_could_report_is_refused(name: str) -> None:
    call, breaker = Caller(), make_breaker("catalog")

    assert call("POST", f"/breakers/{breaker.pk}/rename", WHY | {"name": name})[0] == 422


@pytest.mark.django_db
def test_names_of_others_are_refused_and_ones_own_can_be_had_back() -> None:
    call = Caller()
    first, second = make_breaker("catalog"), make_breaker("users")

    def to(breaker: Breaker, name: str) -> int:
        return int(call("POST", f"/breakers/{breaker.pk}/rename", WHY | {"name": name})[0])

    assert to(first, "users") == 409
    assert to(first, "products") == 200
    assert to(second, "catalog") == 409, "what reports as catalog is the first one"
    assert to(first, "catalog") == 200
    assert [one.name for one in FormerName.objects.all()] == ["products"]
    elsewhere = make_breaker("people", service="search")
    assert to(elsewhere, "users") == 200


@pytest.mark.django_db
def test_only_admins_rename_and_only_within_their_limits() -> None:
    breaker = make_breaker("catalog", instances=("a",))
    rows = [breaker, breaker.service, Instance.objects.get()]
    paths = [
        f"/{kind}/{row.pk}/rename"
        for kind, row in zip(("breakers", "services", "instances"), rows, strict=True)
    ]

    for path in paths:
        body = WHY | {"name": "new"}
        assert Caller(["read", "operate"])("POST", path, body)[0] == 403
        assert Caller(environment="staging")("POST", path, body)[0] == 404
        assert Caller()("POST", path, {"name": "new"})[0] == 422
    limited = Caller(environment="prod", services=["orders"])
    assert limited("POST", paths[1], WHY | {"name": "payments"})[0] == 422


@pytest.mark.django_db
def test_limits_by_the_former_name_reach_the_service_by_both() -> None:
    breaker = make_breaker("catalog")
    limited, _ = make_key(scopes=["read"], environment="prod", services=["orders"])
    other, _ = make_key(name="o", scopes=["read"], environment="staging", services=["orders"])
    rule = make_rule()
    rule.services = ["orders"]
    rule.save()

    rename_service(breaker.service, "shop", reason="r", by=make_actor())

    for row, names in ((limited, ["orders", "shop"]), (other, ["orders"])):
        row.refresh_from_db()
        assert row.service_names == names
    rule.refresh_from_db()
    assert rule.services == ["orders", "shop"]
    assert rule.version == 2


@pytest.mark.django_db
def test_old_addresses_lead_to_what_it_is_called_now() -> None:
    breaker = make_breaker("catalog")
    rename_service(breaker.service, "shop", reason="r", by=make_actor())
    client: Client = signed_in(Role.VIEWER)
    assert Caller(environment="staging")("GET", "/breakers?service=orders")[1]["items"] == []

    [found] = client.get("/api/v1/breakers?service=orders").json()["items"]
    assert found["service"] == "shop"
    answer = client.get('/?q=service="orders" state="open"&environment=prod')
    assert answer.status_code == 302
    assert answer["Location"] == "/?q=service%3D%22shop%22+state%3D%22open%22&environment=prod"
    assert client.get(f"/breakers/{breaker.pk}/").status_code == 200
    # Where one bears the name again, it means that one.
    make_breaker("catalog", service="orders", environment="staging")
    assert client.get('/?q=service="orders"').status_code == 200


@pytest.mark.django_db
def test_a_pruned_instance_takes_its_former_names_with_it() -> None:
    breaker = make_breaker("catalog", instances=())
    make_instance(breaker, "old")
    instance = Instance.objects.get()
    FormerName.objects.create(
        kind="instance", parent_id=breaker.service_id, name="older", target_id=instance.pk
    )
    Instance.objects.update(retired_at=timezone.now() - timedelta(hours=2))
    assert prune_retired() == 1
    assert not FormerName.objects.exists()


@pytest.mark.django_db
def test_no_key_reaches_another_service_for_a_renaming() -> None:
    """One of the new name in another environment was never meant by a key of all environments."""
    make_breaker("a", service="orders")
    make_breaker("b", service="shop", environment="staging")
    everywhere, _ = make_key(name="all", scopes=["read"], services=["orders"])
    here, _ = make_key(name="here", scopes=["read"], environment="prod", services=["orders"])
    service = Service.objects.get(name="orders")

    rename_service(service, "shop", reason="r", by=make_actor())

    everywhere.refresh_from_db()
    here.refresh_from_db()
    assert everywhere.service_names == ["orders"]
    assert here.service_names == ["orders", "shop"]
    [told] = AuditEntry.objects.filter(action="change_key")
    assert (told.subject_id, told.after) == (str(here.pk), {"services": ["orders", "shop"]})
