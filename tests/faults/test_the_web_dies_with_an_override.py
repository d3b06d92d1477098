"""kill -9 of the web between the commit of an override and its push: what is in PostgreSQL arrives all the same (I5)."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx2
import psycopg
import pytest

from tests.faults.control import Hand
from tests.faults.outage import outage, processes
from tests.support.eventually import eventually
from tests.support.guarded import Guarded
from tests.support.proxy import Proxy
from tests.support.stack import Stack
from tests.support.stops import stop_at

pytestmark = pytest.mark.xdist_group("faults")

CONNECTED_WITHIN_S = 30
RIGHT_WITHIN_S = 60
"""The agent's pause before its next try has grown while nobody was there."""


def still(stack: Stack) -> None:
    """The web processes stand still, each in the middle of what it does."""
    for pid in processes(stack, "web").values():
        os.kill(pid, signal.SIGSTOP)


def is_stored(stack: Stack, breaker: int) -> bool:
    with psycopg.connect(stack.run["database_url"]) as connection:
        stored = connection.execute(
            "SELECT FROM override WHERE breaker_id = %s AND ended_at IS NULL", [breaker]
        )
        return stored.fetchone() is not None


def test_an_override_that_was_committed_and_not_pushed_comes_with_the_welcome(
    broken_stack: Stack,
) -> None:
    """Of two overrides one was acknowledged, and its push is held up on the way to the agent. The web dies when
    the other is committed and its own COMMIT has not been answered yet."""
    service = f"dies-{uuid4().hex[:6]}"
    acknowledged = Hand(broken_stack, service, "catalog")
    committed = Hand(broken_stack, service, "stock")
    owner_url = str(broken_stack.run["database_owner_url"])
    with (
        Proxy(broken_stack.url) as way,
        Guarded(broken_stack, service, "catalog", "stock", url=way.url) as agent,
        ThreadPoolExecutor(1) as beside,
    ):
        for hand in (acknowledged, committed):
            eventually(lambda: hand.is_put_right("closed", 0), within=CONNECTED_WITHIN_S)  # noqa: B023
        way.hold("client")
        revision = acknowledged.force()
        breaker = int(committed.id)

        with stop_at(owner_url, "override", "AT COMMIT") as stop:
            call = beside.submit(committed.try_to_force)
            stop.reached()
            still(broken_stack)
        # PostgreSQL goes on alone.
        eventually(lambda: is_stored(broken_stack, breaker), within=RIGHT_WITHIN_S)
        with outage(broken_stack, "web"):
            with pytest.raises(httpx2.HTTPError):
                call.result()
            way.drop()
            assert agent.outcomes == {"catalog": ["through"], "stock": ["through"]}

        for hand, wished in ((acknowledged, revision), (committed, 1)):
            eventually(
                lambda: hand.is_put_right("forced_open", wished),  # noqa: B023
                within=RIGHT_WITHIN_S,
            )
            assert hand.summary()["override"]["applied"] == 1
        assert agent.outcomes == {
            "catalog": ["through", "refused"],
            "stock": ["through", "refused"],
        }
