"""Each kind of rule over the whole way: what services and operators do over the network, and what fires of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from django.utils import timezone

from alerts.evaluate import evaluate_pending
from alerts.models import Incident, Standing
from alerts.rules import rule_kinds
from breakers.ingest.jobs import Lose
from breakers.models import Instance, OutboxRow
from tests.support.eventually import aeventually
from tests.support.web import Agent, Web

CLOSED = {"breaker": "catalog", "state": "closed", "target": "catalog"}
FORCE = {"mode": "forced_open", "reason": "maintenance"}


class Fleet:
    """One breaker in one instance with an agent, one rule about it, and what becomes of that."""

    def __init__(self, web: Web, agent: Agent) -> None:
        self.web, self.agent = web, agent
        self._batch = 0
        self._id = ""

    async def rule(self, kind: str, **params: Any) -> None:
        body = {"name": kind, "kind": kind, "params": params}
        answer = await self.web.call("POST", "rules", body)
        assert answer.status_code == 201, answer.text
        assert answer.json()["params"].items() >= params.items()

    async def becomes(self, *states: str) -> None:
        await self.tell(*({"to": state} for state in states))

    async def tell(self, *events: dict[str, Any]) -> None:
        self._batch += 1
        told = [{"breaker": "catalog"} | event for event in events]
        ack = await self.agent.events(*told, batch=self._batch)
        assert ack["accepted"] == len(events), ack

    async def measures(self, **metrics: Any) -> None:
        await self.tell({"type": "snapshot", "metrics": metrics | {"window": 10}})

    async def override(self, **wish: Any) -> dict[str, Any]:
        answer = await self.web.call("PUT", f"{await self._path()}/override", FORCE | wish)
        assert answer.status_code == 200, answer.text
        await self.agent.hear("desired")
        return dict(answer.json())

    async def release(self) -> None:
        answer = await self.web.call("DELETE", f"{await self._path()}/override", {"reason": "over"})
        assert answer.status_code == 200, answer.text
        await self.agent.hear("desired")

    async def _path(self) -> str:
        self._id = self._id or (await self.web.breaker("orders", "catalog"))["id"]
        return f"breakers/{self._id}"

    async def is_quiet(self) -> None:
        """Nothing fires of what there is to judge."""
        assert await self._statuses() == []

    async def fires(self) -> None:
        await aeventually(self._is("firing"))

    async def resolves(self) -> None:
        await aeventually(self._is("resolved"))
        assert not await OutboxRow.objects.aexists()

    def _is(self, status: str) -> Any:
        async def look() -> bool:
            found = await self._statuses()
            assert found[-1:] == [status]
            return True

        return look

    async def _statuses(self) -> list[str]:
        await sync_to_async(evaluate_pending)()
        return [one.status.value async for one in Incident.objects.order_by("pk")]


@pytest.fixture
async def fleet(web: Web) -> AsyncIterator[Fleet]:
    async with _fleet(web) as fleet:
        yield fleet


@asynccontextmanager
async def _fleet(web: Web) -> AsyncIterator[Fleet]:
    async with web.agent(CLOSED) as agent:
        yield Fleet(web, agent)


async def test_opened(fleet: Fleet) -> None:
    await fleet.rule("opened")
    await fleet.becomes("open")
    await fleet.fires()
    await fleet.becomes("closed")
    await fleet.resolves()


async def test_open_for(fleet: Fleet) -> None:
    await fleet.rule("open_for", **{"for": 1})
    await fleet.becomes("open", "half_open", "open")
    await fleet.fires()
    await fleet.becomes("closed")
    await fleet.resolves()


async def test_open_for_judges_what_the_library_is_while_it_is_held_closed(fleet: Fleet) -> None:
    """`since` is that of the override then; how long it has been open by itself, history knows."""
    begun = timezone.now() - timedelta(hours=2)
    held = {"service": "orders", "environment": "prod", "breaker": "ledger"}
    forced = held | {"to": "forced_closed", "cause": "override"}
    await fleet.web.post_events(
        held | {"to": "closed", "occurred_at": (begun - timedelta(hours=1)).isoformat()},
        held | {"to": "open", "occurred_at": begun.isoformat()},
        forced | {"natural_state": "open"},
    )
    await fleet.rule("open_for", **{"for": 7300})
    await fleet.is_quiet()
    await fleet.rule("open_for", **{"for": 7000})
    await fleet.fires()
    await fleet.web.post_events(forced | {"natural_state": "closed"})
    await fleet.resolves()


async def test_open_instances(fleet: Fleet) -> None:
    await fleet.rule("open_instances", percent=50)
    async with fleet.web.agent(CLOSED, instance="two", boot="b2"):
        await fleet.becomes("open")
        await fleet.fires()
        await fleet.becomes("closed")
        await fleet.resolves()


async def test_half_open_for(fleet: Fleet) -> None:
    await fleet.rule("half_open_for", **{"for": 1})
    await fleet.becomes("open", "half_open")
    await fleet.fires()
    await fleet.becomes("open")
    await fleet.resolves()


async def test_flapping(fleet: Fleet) -> None:
    await fleet.rule("flapping", trips=3, window=2)
    await fleet.becomes("open", "half_open", "open", "closed", "open", "closed")
    await fleet.is_quiet()
    await fleet.becomes("open")
    await fleet.fires()
    await fleet.resolves()


async def test_flapping_counts_what_came_late(fleet: Fleet) -> None:
    await fleet.rule("flapping", trips=2, window=3600)
    ago = timezone.now() - timedelta(minutes=10)
    await fleet.becomes("open")
    await fleet.is_quiet()
    await fleet.tell(
        {"to": "open", "occurred_at": ago.isoformat()},
        {"to": "closed", "occurred_at": (ago + timedelta(minutes=1)).isoformat()},
    )
    await fleet.fires()


async def test_flapping_leaves_out_what_a_hand_did(fleet: Fleet) -> None:
    await fleet.rule("flapping", trips=2, window=3600)
    for cause in ("manual", "override", "manual"):
        await fleet.tell({"to": "open", "cause": cause}, {"to": "closed", "cause": "manual"})
    await fleet.tell({"to": "open", "cause": "automatic"}, {"to": "closed", "cause": "manual"})
    await fleet.is_quiet()
    await fleet.tell({"to": "open"})
    await fleet.fires()


async def test_instance_lost(fleet: Fleet) -> None:
    await fleet.rule("instance_lost")
    await fleet.becomes("closed")
    await fleet.is_quiet()
    long_ago = timezone.now() - timedelta(minutes=2)
    await Instance.objects.aupdate(last_seen=long_ago)
    await sync_to_async(_somebody_has_listened)()
    instance = await Instance.objects.aget()
    assert await fleet.web.entrance.runtime.writer.commit(
        Lose(instance_ids=[instance.pk], breakers=1)
    )
    await fleet.fires()
    async with fleet.web.agent(CLOSED):
        await fleet.resolves()


async def test_nobody_misses_instances_that_begin(fleet: Fleet) -> None:
    await fleet.rule("instance_lost")
    async with fleet.web.agent(CLOSED, instance="two"), fleet.web.agent(CLOSED, instance="three"):
        await fleet.is_quiet()


@pytest.mark.parametrize(
    ("kind", "bad", "good"),
    [
        ("failure_rate", {"failure_rate": 50}, {"failure_rate": 49.9}),
        ("failure_rate", {"calls": 4, "failed": 2}, {"calls": 4, "failed": 1}),
        ("slow_rate", {"calls": 4, "slow": 2}, {"slow_rate": 0}),
        (
            "not_permitted_rate",
            {"calls": 0, "not_permitted": 7},
            {"calls": 8, "not_permitted": 7},
        ),
    ],
)
async def test_rates(fleet: Fleet, kind: str, bad: dict[str, Any], good: dict[str, Any]) -> None:
    await fleet.measures(**bad)
    await fleet.is_quiet()
    assert not await OutboxRow.objects.aexists()
    await fleet.rule(kind, threshold=50)
    await fleet.fires()
    await fleet.measures(**good)
    await fleet.resolves()
    await fleet.measures(**bad)
    await fleet.fires()


async def test_snapshots_enter_the_outbox_only_while_a_rule_looks_at_them(fleet: Fleet) -> None:
    await fleet.rule("opened")
    await fleet.measures(failure_rate=90)
    await fleet.is_quiet()
    await fleet.measures(failure_rate=90)
    assert not await OutboxRow.objects.aexists()

    await fleet.rule("failure_rate", threshold=99)
    await fleet.measures(failure_rate=90)
    assert await OutboxRow.objects.aexists()

    [rule] = [one for one in (await fleet.web.get("rules"))["items"] if one["kind"] != "opened"]
    await fleet.web.call("DELETE", f"rules/{rule['id']}", None)
    await fleet.is_quiet()
    await fleet.measures(failure_rate=90)
    assert not await OutboxRow.objects.aexists()


async def test_override_age(fleet: Fleet) -> None:
    await fleet.rule("override_age", **{"for": 1})
    await fleet.override(no_expiry=True)
    await fleet.fires()
    await fleet.release()
    await fleet.resolves()


async def test_override_age_of_one_that_stood_before_the_rule(fleet: Fleet) -> None:
    await fleet.override(no_expiry=True)
    await fleet.rule("override_age", **{"for": 1})
    await fleet.fires()
    await fleet.override(expires_in=600)
    await fleet.resolves()


async def test_override_expiring(fleet: Fleet) -> None:
    await fleet.rule("override_expiring", within=300)
    await fleet.override(expires_in=600)
    await fleet.is_quiet()
    assert (await Standing.objects.aget()).check_at is not None
    await fleet.override(expires_in=200)
    await fleet.fires()
    await fleet.override(expires_in=900)
    await fleet.resolves()


async def test_override_expiring_resolves_once_it_has_expired(fleet: Fleet) -> None:
    await fleet.rule("override_expiring", within=300)
    await fleet.override(expires_in=1)
    await fleet.fires()
    await fleet.resolves()


async def test_override_unapplied(fleet: Fleet) -> None:
    await fleet.rule("override_unapplied", **{"for": 1})
    override = await fleet.override(no_expiry=True)
    told = {"type": "applied", "breaker": "catalog", "revision": override["revision"]}
    await fleet.agent.say(**told, ok=False, error="read-only")
    await fleet.fires()
    await fleet.agent.say(**told, ok=True, state="forced_open", natural_state="closed")
    await fleet.resolves()


async def test_override_unapplied_also_fires_on_who_confirmed_and_left_again(fleet: Fleet) -> None:
    await fleet.rule("override_unapplied", **{"for": 1})
    override = await fleet.override(no_expiry=True)
    told = {"type": "applied", "breaker": "catalog", "revision": override["revision"]}
    await fleet.fires()
    await fleet.agent.say(**told, ok=True, state="forced_open", natural_state="closed")
    await fleet.resolves()
    await fleet.becomes("closed")
    await fleet.fires()
    await fleet.becomes("forced_open")
    await fleet.resolves()


async def test_override_unapplied_is_well_once_a_hello_says_that_it_is_applied(web: Web) -> None:
    async with _fleet(web) as fleet:
        await fleet.rule("override_unapplied", **{"for": 1})
        override = await fleet.override(no_expiry=True)
        await fleet.fires()
        applied = {"applied_revision": override["revision"], "state": "forced_open"}
        async with web.agent(CLOSED | applied):
            await fleet.resolves()


async def test_break_glass(fleet: Fleet) -> None:
    await fleet.rule("break_glass")
    limits = {"guard": {"max_forced_percent": 0}}
    answer = await fleet.web.call("PUT", "environments/prod", limits)
    assert answer.status_code == 200, answer.text
    await fleet.override(expires_in=900, break_glass="max_forced_percent")
    await fleet.fires()
    await fleet.release()
    await fleet.resolves()


def test_no_kind_is_left_out() -> None:
    tested = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}

    for kind in rule_kinds.names():
        assert kind in tested or kind.endswith("_rate"), f"{kind} has no test of its whole way"


def _somebody_has_listened() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE watch SET alive_since = now() - interval '1 hour', ticked_at = now()"
        )
