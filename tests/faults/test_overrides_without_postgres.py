"""PostgreSQL goes in the middle of an override: whoever asked is told in seconds what is known, nothing is half done,
and asked again it is done once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from uuid import uuid4

import httpx2
import psycopg
import pytest

from tests.faults.control import Hand
from tests.faults.outage import frozen, outage
from tests.support.eventually import eventually
from tests.support.guarded import Guarded
from tests.support.stack import Stack
from tests.support.stops import stop_at

pytestmark = pytest.mark.xdist_group("faults")

RIGHT_WITHIN_S = 30


@contextmanager
def held(stack: Stack, hand: Hand) -> Iterator[None]:
    """Whoever wishes something of the service waits in the middle of a statement, as long as the block and the
    server last."""
    connection = psycopg.connect(stack.run["database_owner_url"])
    try:
        connection.execute("SELECT FROM service WHERE name = %s FOR NO KEY UPDATE", [hand.service])
        yield
    finally:
        connection.close()


def are_waiting(stack: Stack, *, for_: str) -> int:
    """How many wait for a lock of this type; of a row, that is the lock of the transaction that has it."""
    with psycopg.connect(stack.run["database_owner_url"]) as connection:
        waiting = connection.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = %s AND NOT granted", [for_]
        )
        return int((waiting.fetchone() or (0,))[0])


def detail(answer: httpx2.Response) -> str:
    """What a clear 503 says."""
    assert answer.status_code == 503, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) > 0
    return str(answer.json()["detail"])


def force_many(hand: Hand) -> httpx2.Response:
    """The breaker of the hand's service, by the call for many, which takes an Idempotency-Key."""
    wish = {"mode": "forced_open", "reason": "maintenance", "no_expiry": True}
    match = {"service": hand.service}
    return hand.call("POST", "overrides", {"match": match, **wish}, key=hand.service)


def test_postgres_freezes_and_what_is_not_known_is_not_claimed(broken_stack: Stack) -> None:
    """One override is in the middle of a statement: it will not be carried out. Another is at its COMMIT, which the
    server finishes once it goes on, with nobody left to hear of it."""
    stuck, doubtful = (
        Hand(broken_stack, f"freezes-{name}-{uuid4().hex[:6]}") for name in ("one", "two")
    )
    owner_url = str(broken_stack.run["database_owner_url"])
    with (
        Guarded(broken_stack, stuck.service, "catalog") as one,
        Guarded(broken_stack, doubtful.service, "catalog") as two,
        ThreadPoolExecutor(2) as beside,
    ):
        for hand in (stuck, doubtful):
            eventually(lambda: hand.is_put_right("closed", 0), within=RIGHT_WITHIN_S)  # noqa: B023

        with stop_at(owner_url, "override", "AT COMMIT") as stop, held(broken_stack, stuck):
            at_commit = beside.submit(force_many, doubtful)
            stop.reached()
            in_a_statement = beside.submit(stuck.try_to_force)
            eventually(
                lambda: are_waiting(broken_stack, for_="transactionid"), within=RIGHT_WITHIN_S
            )
            with frozen(broken_stack, "postgres"):
                assert "Nothing was changed" in detail(in_a_statement.result())
                assert "not known" in detail(at_commit.result())

        # What was committed stands, and reaches the agent by itself.
        eventually(lambda: doubtful.is_put_right("forced_open", 1), within=RIGHT_WITHIN_S)
        again = force_many(doubtful)
        assert again.status_code == 201
        assert again.headers["idempotent-replayed"] == "true"
        assert doubtful.standing() == [1]
        assert two.outcomes["catalog"] == ["through", "refused"]

        assert stuck.standing() == []
        assert one.outcomes["catalog"] == ["through"]
        revision = stuck.force()
        assert (stuck.standing(), revision) == ([revision], 1)
        eventually(lambda: stuck.is_put_right("forced_open", revision), within=RIGHT_WITHIN_S)


def test_postgres_is_killed_and_what_was_not_committed_is_done_once_when_asked_again(
    broken_stack: Stack,
) -> None:
    hand = Hand(broken_stack, f"killed-{uuid4().hex[:6]}")
    with Guarded(broken_stack, hand.service, "catalog") as agent, ThreadPoolExecutor(1) as beside:
        eventually(lambda: hand.is_put_right("closed", 0), within=RIGHT_WITHIN_S)
        with held(broken_stack, hand):
            call = beside.submit(force_many, hand)
            eventually(
                lambda: are_waiting(broken_stack, for_="transactionid"), within=RIGHT_WITHIN_S
            )
            with outage(broken_stack, "postgres"):
                assert "Nothing was changed" in detail(call.result())

        assert hand.standing() == []
        assert force_many(hand).status_code == 201
        again = force_many(hand)
        assert again.headers["idempotent-replayed"] == "true"
        assert hand.standing() == [1]
        eventually(lambda: hand.is_put_right("forced_open", 1), within=RIGHT_WITHIN_S)
        assert agent.outcomes["catalog"] == ["through", "refused"]
