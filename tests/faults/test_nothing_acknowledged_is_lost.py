"""kill -9 of each part while events flow: I1, I3, I4 and I8 hold, and all is ready again within 30 s."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx2
import psycopg
import pytest

from tests.faults.flow import Flow
from tests.faults.outage import outage
from tests.faults.receiver import Receiver
from tests.support.eventually import eventually
from tests.support.stack import Stack

pytestmark = pytest.mark.xdist_group("faults")

NAMES = {"worker": "worker", "redis": "redis", "postgres": "postgresql"}
"""As /readyz says them."""
TOLD_WITHIN_S = 90
"""What a killed worker had in hand is sent again when its claim has run out: a minute at most, and seldom."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        yield made


def call(stack: Stack, method: str, path: str, body: Any = None) -> Any:
    with stack.client() as client:
        answer = client.request(method, f"/api/v1/{path}", json=body)
    assert answer.is_success, answer.text
    return answer.json() if answer.content else None


def alert(stack: Stack, service: str, receiver: Receiver) -> None:
    """A rule on the service that tells the receiver."""
    channel = call(
        stack,
        "POST",
        "channels",
        {"name": service, "kind": "webhook", "config": {"url": receiver.url}},
    )
    receiver.secret = channel["secret"]
    call(
        stack,
        "POST",
        "rules",
        {
            "name": service,
            "kind": "opened",
            "params": {},
            "matchers": [f'service="{service}"'],
            "severity": "critical",
            "channels": [channel["id"]],
        },
    )


def board(stack: Stack, service: str) -> dict[str, Any]:
    return {each["id"]: each for each in call(stack, "GET", f"breakers?service={service}")["items"]}


def stored(stack: Stack, service: str) -> Counter[str]:
    """How often each event of the service is in the database."""
    with psycopg.connect(stack.run["database_url"]) as connection:
        rows = connection.execute(
            "SELECT e.event_id, count(*) FROM event e JOIN service s ON s.id = e.service_id"
            " WHERE s.name = %s GROUP BY 1",
            [service],
        )
        return Counter(dict(rows.fetchall()))


def incidents(stack: Stack, service: str) -> list[dict[str, Any]]:
    found, cursor = [], ""
    while True:
        page = call(stack, "GET", f"incidents?limit=1000{cursor}")
        found += [each for each in page["items"] if each["rule"]["name"] == service]
        if page["next"] is None:
            return found
        cursor = f"&cursor={page['next']}"


def missing_parts(stack: Stack) -> list[str]:
    """What /readyz names, if it says that it is not ready."""
    status, told = stack.readiness()
    return list(told["missing"]) if status == 503 else []


@pytest.mark.parametrize(
    "parts",
    [("web",), ("worker",), ("redis",), ("postgres",), ("postgres", "redis", "web", "worker")],
    ids=lambda parts: "+".join(parts),
)
def test_what_is_killed_while_events_flow_costs_nothing_that_was_acknowledged(
    broken_stack: Stack, receiver: Receiver, parts: tuple[str, ...]
) -> None:
    stack, service = broken_stack, f"flow-{uuid4().hex[:6]}"
    alert(stack, service, receiver)

    with Flow(stack, service) as flow:
        eventually(lambda: sum(lane.opened for lane in flow.lanes) >= 2 and flow.board, within=20)
        with outage(stack, *parts):
            # Long enough for the probe to see it, and for clients to come and go.
            if "web" in parts:
                with pytest.raises(httpx2.HTTPError):
                    httpx2.get(f"{stack.url}/healthz", timeout=1)
            else:
                [part] = parts
                eventually(lambda: NAMES[part] in missing_parts(stack), within=10)
                assert httpx2.get(f"{stack.url}/healthz", timeout=5).status_code == 200
        after = len(flow.acknowledged)
        eventually(lambda: len(flow.acknowledged) > after + 20, within=20)
        flow.finish()

        # I1: acknowledged is stored, once; and a client that repeats has all of it stored.
        assert flow.problems == []
        assert len(flow.sent) > 100
        assert sorted(flow.acknowledged) == sorted(flow.sent)
        assert stored(stack, service) == Counter(flow.sent)
        if "web" in parts:
            assert sum(lane.repeats for lane in flow.lanes) > 0

        # I8: the socket's board, cut off or not, is the database's within a second.
        eventually(lambda: flow.board == board(stack, service), within=3)
        assert {each["breaker"]: each["state"] for each in flow.board.values()} == {
            lane.breaker: lane.state for lane in flow.lanes
        }

    # I3: one incident for each time that a breaker opened, and all of them over.
    expected = Counter({lane.breaker: lane.opened for lane in flow.lanes})
    names = {id: each["breaker"] for id, each in board(stack, service).items()}

    def all_resolved() -> bool:
        found = incidents(stack, service)
        assert Counter(names[each["breakers"][0]] for each in found) == expected
        assert {each["status"] for each in found} == {"resolved"}
        return True

    eventually(all_resolved, within=20, every=0.1)

    # I4: each end was told, refused once, and told again under the same id.
    ids = {each["id"] for each in incidents(stack, service)}

    def all_told() -> bool:
        told = {incident for incident, type in receiver.ids if type == "incident.resolved"}
        assert told == ids
        assert all(
            receiver.attempts[id] >= 2
            for (_, type), known in list(receiver.ids.items())
            if type == "incident.resolved"
            for id in known
        )
        return True

    eventually(all_told, within=TOLD_WITHIN_S, every=0.1)
    assert {len(known) for known in receiver.ids.values()} == {1}
    assert receiver.forged == 0
