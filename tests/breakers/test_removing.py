"""Removing what is there, with its history kept or erased, while it may report again at any moment."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from django.utils import timezone

from alerts.due import sweep
from alerts.evaluate import evaluate_pending
from alerts.models import Incident
from breakers import removing
from breakers.history.rebuild import rebuild
from breakers.models import AuditEntry, Event, Instance, Override, Removed, Snapshot
from breakers.removing import erase_removed, forget_kept
from tests.alerts.api.callers import Caller
from tests.support.make import make_breaker, make_event
from tests.support.people import signed_in, text_of
from tests.support.web import Watcher, Web, serve

EVENT = {"service": "orders", "breaker": "catalog", "environment": "prod", "to": "open"}
CLOSED = {"breaker": "catalog", "state": "closed"}
KINDS = ("services", "breakers", "instances")


async def remove(web: Web, path: str, history: str = "keep") -> None:
    body = {"reason": "no longer there", "history": history}
    answer = await web.call("DELETE", path, body)
    assert answer.status_code == 204, answer.text


def removed(event: Event) -> Removed:
    return Removed.objects.create(
        kind="instance",
        of_id=event.instance_id,
        service_id=event.service_id,
        environment="prod",
        service="orders",
        name="default",
        erase=True,
        removed_at=timezone.now(),
        by_name="ada",
    )


@pytest.mark.django_db(transaction=True)
def test_what_is_removed_while_another_erases_is_not_left_for_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    breaker = make_breaker(instances=("a", "b"))
    first, second = (
        make_event(breaker, "open", seq=1, at=timezone.now(), instance=name) for name in "ab"
    )
    removed(first)
    late = [second]
    until = removing._erase_until

    def elsewhere() -> int:
        with ThreadPoolExecutor() as other:
            return other.submit(lambda: (erase_removed(), connection.close())[0]).result()

    def erase_until(deadline: float) -> int:
        erased = until(deadline)
        if late:
            removed(late.pop())
            assert elsewhere() == 0  # its wake comes while the lock is held
        return erased

    monkeypatch.setattr(removing, "_erase_until", erase_until)

    assert erase_removed() == 2
    assert not Event.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_one_erases_at_a_time_and_goes_on_after_its_time(
    superuser_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removing, "_SOME", 1)
    breaker = make_breaker()
    events = [make_event(breaker, "open", seq=seq, at=timezone.now()) for seq in range(3)]
    gone = removed(events[0])

    with psycopg.connect(superuser_url) as other:
        other.execute("SELECT pg_advisory_lock(hashtext('panelboard.erase_removed'))")
        assert erase_removed() == 0
        assert Event.objects.count() == 3
    assert erase_removed(budget_s=0) == 0
    assert Event.objects.count() == 2
    assert erase_removed() == 1
    assert not Removed.objects.filter(pk=gone.pk).exists()


async def only(web: Web, what: str) -> dict[str, Any]:
    [one] = (await web.get(what))["items"]
    return dict(one)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("history", ["keep", "erase"])
async def test_one_that_reports_again_is_made_anew(web: Web, kind: str, history: str) -> None:
    """By every process, also by one that remembers it, and nothing acknowledged is lost."""
    async with serve() as other:
        for process in (web, other):
            await process.post_events(EVENT | {"to": "closed"}, key=web.key)
        before = await only(web, kind)
        await remove(web, f"{kind}/{before['id']}", history)
        if kind != "instances":
            assert (await web.get("breakers"))["items"] == []

        for process, state in ((web, "half_open"), (other, "open")):
            answer = await process.post_events(EVENT | {"to": state}, key=web.key)
            assert (answer.status_code, answer.json()["accepted"]) == (202, 1)

    after = await only(web, kind)
    assert after["id"] != before["id"]
    shown = await only(web, "breakers")
    assert (shown["state"], shown["instances"]) == ("open", 1)
    assert [*await _differences()] == []


async def _differences() -> list[object]:
    return await sync_to_async(lambda: list(rebuild(write=False)))()


async def test_events_that_come_in_while_it_is_removed_are_all_stored(web: Web) -> None:
    async with serve() as other:
        accepted = 0

        async def report(process: Web) -> None:
            nonlocal accepted
            for n in range(40):
                event = EVENT | {"to": ("open", "closed")[n % 2], "instance": f"i{n % 3}"}
                answer = await process.post_events(event, key=web.key)
                while answer.status_code == 503 and "Retry-After" in answer.headers:
                    answer = await process.post_events(event, key=web.key)
                assert answer.status_code == 202, answer.text
                accepted += answer.json()["accepted"]

        async def remove_again_and_again() -> None:
            for n in range(12):
                kind = KINDS[n % 3]
                for one in (await web.get(kind))["items"][:1]:
                    answer = await web.call("DELETE", f"{kind}/{one['id']}", {"reason": "r"})
                    assert answer.status_code in (204, 404)

        await asyncio.gather(report(web), report(other), remove_again_and_again())

    assert accepted == 80
    assert await Event.objects.filter(type="state_change").acount() >= 80
    assert await _differences() == []


@pytest.mark.parametrize("kind", KINDS)
async def test_an_agent_is_back_by_itself(web: Web, kind: str) -> None:
    async with web.agent(CLOSED) as agent:
        old = await only(web, kind)
        await remove(web, f"{kind}/{old['id']}")
        await asyncio.wait_for(agent.socket.wait_closed(), 30)
        assert agent.socket.close_code == 1012
    async with web.agent(CLOSED):
        assert (await only(web, kind))["id"] != old["id"]


async def test_boards_lose_it_at_once_and_without_redis_too(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("breakers.removing.announce_changed", lambda ids: None)
    await web.post_events(EVENT)
    async with web.socket("/live/v1") as socket:
        watcher = Watcher(socket)
        await watcher.subscribe()
        await watcher.take()
        await remove(web, f"breakers/{(await only(web, 'breakers'))['id']}")

        await watcher.until(lambda board: not board)


async def test_what_is_wished_of_it_ends_and_an_agent_that_comes_back_is_free(web: Web) -> None:
    async with web.agent(CLOSED) as agent:
        id = (await only(web, "breakers"))["id"]
        wish = {"mode": "forced_open", "reason": "maintenance", "no_expiry": True}
        answer = await web.call("PUT", f"breakers/{id}/override", wish)
        await agent.hear("desired")
        await remove(web, f"breakers/{id}")
        await asyncio.wait_for(agent.socket.wait_closed(), 30)
    assert not await Override.objects.aexists()
    entry = await AuditEntry.objects.aget(action="remove_breaker")
    assert entry.before["overrides"][0]["mode"] == "forced_open"
    applied = {"applied_revision": answer.json()["revision"], "state": "forced_open"}
    async with web.agent(CLOSED | applied) as again:
        [desired] = again.welcome["desired"]
        assert desired["mode"] is None
        assert desired["revision"] > applied["applied_revision"]


@pytest.mark.django_db
def test_what_fires_for_it_is_over() -> None:
    breaker = make_breaker(state="open", instances=("a", "b"))
    call = Caller()
    for group_by in (["target"], ["instance"]):
        call.post("/rules", {"name": "open", "kind": "opened", "group_by": group_by})
    evaluate_pending()
    assert Incident.objects.filter(resolved_at=None).count() == 3

    first = Instance.objects.get(name="a")
    assert call("DELETE", f"/instances/{first.pk}", {"reason": "r"})[0] == 204
    evaluate_pending()
    sweep(timezone.now())
    assert Incident.objects.filter(resolved_at=None).count() == 2
    assert call("DELETE", f"/breakers/{breaker.pk}", {"reason": "r"})[0] == 204
    evaluate_pending()
    sweep(timezone.now())
    assert not Incident.objects.filter(resolved_at=None).exists()


@pytest.mark.django_db
@pytest.mark.parametrize("kind", ["services", "breakers"])
def test_history_that_is_kept_is_read_by_the_old_id(kind: str) -> None:
    breaker = make_breaker("catalog", instances=("pod-7",))
    make_event(breaker, "open", instance="pod-7", at=timezone.now(), detail="5 failures")
    call = Caller()
    path = {"services": breaker.service_id, "breakers": breaker.pk}[kind]
    assert call("DELETE", f"/{kind}/{path}", {"reason": "r"})[0] == 204

    [event] = call.get(f"/breakers/{breaker.pk}/events")["items"]
    assert (event["instance"], event["to"], event["detail"]) == ("pod-7", "open", "5 failures")
    assert call("GET", f"/breakers/{breaker.pk}")[0] == 404
    assert Caller(environment="staging")("GET", f"/breakers/{breaker.pk}/events")[0] == 404
    page = text_of(signed_in("viewer"), f"/breakers/{breaker.pk}/")
    assert "removed" in page
    assert "5 failures" in page


@pytest.mark.django_db
@pytest.mark.parametrize("kind", ["services", "breakers", "instances"])
def test_history_that_is_erased_is_gone_and_that_of_others_stays(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("breakers.removing._SOME", 2)
    breaker = make_breaker("catalog", instances=("pod-7",))
    other = make_breaker("users", service="search", instances=("pod-8",))
    for _ in range(5):
        make_event(breaker, "open", instance="pod-7", at=timezone.now())
        make_event(other, "open", instance="pod-8", at=timezone.now())
    instance = Instance.objects.get(name="pod-7")
    id = {"services": breaker.service_id, "breakers": breaker.pk, "instances": instance.pk}[kind]
    call = Caller()

    status, _ = call("DELETE", f"/{kind}/{id}", {"reason": "r", "history": "erase"})
    assert status == 204
    if kind != "instances":
        assert call("GET", f"/breakers/{breaker.pk}/events")[0] == 404
    erase_removed()

    assert set(Event.objects.values_list("breaker_id", flat=True)) == {other.pk}
    assert Event.objects.count() == 5
    assert not Snapshot.objects.exists()
    assert not Removed.objects.exists()
    assert erase_removed() == 0


@pytest.mark.django_db
def test_what_was_kept_is_forgotten_once_history_is_past_it() -> None:
    call, breaker = Caller(), make_breaker("catalog")
    call("DELETE", f"/breakers/{breaker.pk}", {"reason": "r"})
    forget_kept()
    assert Removed.objects.exists()

    with connection.cursor() as cursor:
        cursor.execute("UPDATE history_edge SET at = now() + interval '1 hour'")
        forget_kept()

    assert not Removed.objects.exists()


@pytest.mark.django_db
def test_only_admins_remove_within_their_limits_and_say_why() -> None:
    breaker = make_breaker("catalog")
    instance = Instance.objects.get()
    for path in (
        f"/breakers/{breaker.pk}",
        f"/services/{breaker.service_id}",
        f"/instances/{instance.pk}",
    ):
        body = {"reason": "r"}
        assert Caller(["read", "operate"])("DELETE", path, body)[0] == 403
        assert Caller(environment="staging")("DELETE", path, body)[0] == 404
        assert Caller()("DELETE", path, {})[0] == 422
        assert Caller()("DELETE", path, body | {"history": "burn"})[0] == 422
    assert not Removed.objects.exists()
