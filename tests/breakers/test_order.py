"""The one order of state changes, where what is remembered of a boot's beginning is older than the truth, and where
very many come at once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from psycopg import sql

from breakers.history.rebuild import rebuild
from breakers.ingest.jobs import Stored
from breakers.models import Boot, BreakerInstance, OutboxRow
from breakers.outbox import steps_of
from breakers.sql import statements
from breakers.states import State
from tests.support.writing import happened, send, writer

pytestmark = pytest.mark.django_db(transaction=True)
_LATE = statements("history")["note_disorder"]
_PLACES = {"breakers": 1, "instances": 2, "firsts": 3, "lasts": 4}


async def states() -> dict[str, tuple[str, int | None]]:
    found = BreakerInstance.objects.select_related("breaker")
    return {one.breaker.name: (one.state, one.seq) async for one in found}


async def is_as_history_says() -> None:
    assert await sync_to_async(lambda: list(rebuild(write=False)))() == []


@pytest.mark.parametrize("order", ["xy", "yx"])
async def test_a_boot_has_one_beginning_for_all_breakers_of_its_instance(order: str) -> None:
    """The second breaker's first event makes the boot older than the first breaker knows it."""
    async with writer() as one:
        await send(one, happened(10, State.CLOSED, breaker="y", seq=1))
        await send(one, happened(5, State.CLOSED, breaker="x", seq=5))
        last = {
            "x": happened(20, breaker="x", seq=3),
            "y": happened(20, breaker="y", seq=9),
        }
        await send(one, *(last[breaker] for breaker in order))

    assert await states() == {"x": ("closed", 5), "y": ("open", 9)}
    await is_as_history_says()


async def test_boots_change_places_by_an_event_of_another_breaker_at_another_process() -> None:
    async with writer() as one, writer() as other:
        await send(one, happened(10, State.CLOSED, breaker="y", boot="a", seq=1))
        await send(one, happened(20, State.CLOSED, breaker="z", boot="b", seq=1))
        await send(other, happened(5, State.CLOSED, breaker="x", boot="b", seq=1))
        await send(
            one,
            happened(30, breaker="y", boot="b", seq=7),
            happened(30, breaker="z", boot="b", seq=7),
        )

    assert (await states())["y"] == ("closed", 1)
    await is_as_history_says()


async def test_a_boot_that_began_earlier_than_was_known_and_keeps_its_place_makes_nothing_late() -> (
    None
):
    async with writer() as one:
        for breaker in ("x", "y"):
            await send(one, happened(1, State.CLOSED, breaker=breaker, boot="a"))
        await send(one, happened(12, breaker="x", boot="b"))
        await OutboxRow.objects.all().adelete()
        opened = happened(11, breaker="y", boot="b")
        await send(one, opened, happened(13, State.CLOSED, breaker="y", boot="b"))

    texts = OutboxRow.objects.values_list("steps", flat=True)
    steps = [(step.before, step.state) async for text in texts for step in steps_of(text)]
    assert steps == [(State.CLOSED, State.OPEN), (State.OPEN, State.CLOSED)]
    await is_as_history_says()


async def test_a_boot_that_sinks_below_another_tells_what_that_was() -> None:
    """No event of the group itself is on top then."""
    async with writer() as one:
        for breaker in ("x", "y"):
            await send(one, happened(10, breaker=breaker, boot="a"))
            await send(one, happened(20, State.CLOSED, breaker=breaker, boot="b"))
        await OutboxRow.objects.all().adelete()
        await send(one, happened(5, State.HALF_OPEN, breaker="x", boot="b", seq=1))

    assert {state for state, _ in (await states()).values()} == {"open"}
    texts = OutboxRow.objects.values_list("steps", flat=True)
    steps = [(step.before, step.state) async for text in texts for step in steps_of(text)]
    assert steps == [(State.CLOSED, State.OPEN)] * 2
    await is_as_history_says()


async def test_a_beginning_that_was_wrong_and_is_mended_is_remembered_by_nobody() -> None:
    async with writer() as one, writer() as other:
        await send(one, happened(10, boot="a", seq=1))
        await send(one, happened(20, State.CLOSED, boot="b", seq=1))
        true = await Boot.objects.aget(boot="b")
        await Boot.objects.filter(pk=true.pk).aupdate(first_at=true.first_at - timedelta(hours=1))
        await send(other, happened(30, State.HALF_OPEN, boot="b", seq=2))

        await sync_to_async(lambda: list(rebuild(write=True)))()
        await send(other, happened(15, boot="b", seq=3))

    assert await states() == {"catalog": ("open", 3)}
    await is_as_history_says()


async def test_a_thousand_events_of_one_breaker_of_which_the_first_is_late() -> None:
    """What is looked at in history does not grow with their square."""
    async with writer() as one:
        await send(one, happened(10))
        told = await send(one, happened(9), *map(happened, range(11, 1010)))

    assert told == [Stored.ACCEPTED] * 1000
    assert await states() == {"catalog": ("open", 1009)}
    await is_as_history_says()


async def test_disorder_is_found_wherever_many_late_events_bring_it() -> None:
    """Numbers and times contradict each other at both ends of what came."""
    late = [happened(number, State.CLOSED) for number in range(20, 40)]
    late[0] = happened(20, State.CLOSED, seq=45)
    late[19] = happened(39, State.CLOSED, seq=12)
    async with writer() as one:
        await send(one, *(happened(number) for number in (10, 50, 60)))
        await send(one, *late)
        await send(one, happened(61, seq=44))
        await send(one, happened(62, State.HALF_OPEN, seq=61))

    assert await states() == {"catalog": ("half_open", 61)}
    await is_as_history_says()


@pytest.mark.parametrize("plan", ["force_custom_plan", "force_generic_plan"])
async def test_around_a_late_event_nothing_is_read_of_what_others_have_said(plan: str) -> None:
    async with writer() as one:
        await send(one, happened(1), happened(3, State.CLOSED), happened(5))
        await send(one, happened(1, breaker="other"))
    own, other = [one async for one in BreakerInstance.objects.order_by("breaker__name").values()]
    async with await psycopg.AsyncConnection.connect(settings.DATABASE_URL) as connection:
        await connection.execute(
            """
            INSERT INTO event (service_id, event_id, occurred_at, breaker_id, instance_id, type, to_state, cause, origin)
            SELECT service_id, 'copy ' || n, occurred_at + n * interval '1 microsecond', breaker_id, instance_id, type,
                   to_state, cause, origin
            FROM event, generate_series(1, 20000) n WHERE breaker_id = %s
            """,
            [other["breaker_id"]],
        )
        await connection.execute("ANALYZE event")
        await connection.execute(f"SET LOCAL plan_cache_mode = {plan}")
        await connection.execute(
            "PREPARE late (bigint[], bigint[], timestamptz[], timestamptz[]) AS "
            + re.sub(r"%\((\w+)\)s", lambda name: f"${_PLACES[name[1]]}", _LATE)
        )
        explained = await connection.execute(
            sql.SQL("EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE late ({})").format(
                sql.SQL(", ").join(
                    [[own["breaker_id"]], [own["instance_id"]], [own["at"]], [own["at"]]]
                )
            )
        )
        [(([told],))] = await explained.fetchall()

    assert sum(rows_of(told["Plan"])) < 100


def rows_of(node: dict[str, Any]) -> Iterator[int]:
    """How many rows were looked at, step by step."""
    yield node["Actual Loops"] * (node["Actual Rows"] + node.get("Rows Removed by Filter", 0))
    for below in node.get("Plans", ()):
        yield from rows_of(below)
