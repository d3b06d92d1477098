"""Groups that are judged while the one before is being committed: whatever becomes of that one, states, outbox and
answers are as if each had waited for the other."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from breakers.db import make_pool
from breakers.errors import Overloaded
from breakers.history.rebuild import rebuild
from breakers.ingest import queue
from breakers.ingest.draft import Draft
from breakers.ingest.effects import Effects
from breakers.ingest.jobs import Stored
from breakers.models import Breaker, BreakerInstance, Event, OutboxRow, Snapshot
from breakers.outbox import OutboxStep, steps_of
from breakers.states import State
from breakers.wire import Happened, Metrics
from tests.support.eventually import aeventually
from tests.support.held import held_up, wait_for_a_lock
from tests.support.writing import NOW, happened, send, writer

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def committed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many events each draft had that was committed as it was."""
    plain, sizes = Draft.write, []

    async def write(draft: Draft, *arguments: Any, **named: Any) -> Effects:
        effects = await plain(draft, *arguments, **named)
        sizes.append(sum(len(job.events) for job in draft.jobs))
        return effects

    monkeypatch.setattr(Draft, "write", write)
    return sizes


async def is_as_history_says(events: Iterable[Happened]) -> None:
    assert await sync_to_async(lambda: list(rebuild(write=False)))() == []
    stored = [id async for id in Event.objects.values_list("event_id", flat=True)]
    assert sorted(stored) == sorted({event.event_id for event in events})


async def steps() -> list[OutboxStep]:
    """All that is to be judged, in the order in which it is."""
    texts = OutboxRow.objects.order_by("id").values_list("steps", flat=True)
    return [step async for text in texts for step in steps_of(text)]


async def state() -> tuple[str, int | None]:
    held = await BreakerInstance.objects.aget(breaker__name="catalog")
    return held.state, held.seq


async def test_what_comes_during_a_commit_is_judged_on_what_it_leaves_behind(
    committed: list[int],
) -> None:
    events = [happened(n, State.OPEN if n % 2 else State.CLOSED) for n in range(1, 8)]
    async with writer() as one:
        await send(one, events[0])
        async with held_up():
            first = send(one, *events[1:3])
            await wait_for_a_lock()
            rest = [send(one, *events[3:5]), send(one, *events[5:])]
        outcomes = [outcome for told in (first, *rest) for outcome in await told]

    assert outcomes == [Stored.ACCEPTED] * 6
    assert committed == [2, 4]
    assert await state() == ("open", 7)
    assert [step.state for step in await steps()] == [event.to for event in events]
    assert [step.before for step in await steps()] == [
        State.UNKNOWN,
        *(event.to for event in events[:-1]),
    ]
    await is_as_history_says(events)


async def test_a_breaker_that_was_moved_by_somebody_else_is_looked_at_again(
    committed: list[int],
) -> None:
    """The other moves it before the first of two groups, and both were judged on what was before."""
    mine = [happened(n, State.HALF_OPEN if n % 2 else State.OPEN) for n in (1, 4, 5)]
    theirs = happened(3, State.CLOSED)
    async with writer() as one, writer() as other:
        await send(one, mine[0])
        await send(other, theirs)
        answers = [send(one, mine[1]), send(one, mine[2])]
        told = [outcome for answer in answers for outcome in await answer]

    assert told == [Stored.ACCEPTED] * 2
    assert committed == []
    assert [step.before for step in await steps()][1:] == [step.state for step in await steps()][
        :-1
    ]
    assert await state() == ("half_open", 5)
    await is_as_history_says([*mine, theirs])


async def test_what_was_judged_on_a_group_that_failed_is_judged_again(committed: list[int]) -> None:
    """The first of two groups repeats a snapshot, which fails it as a whole."""
    known = happened(1, None, type="snapshot")
    first_of_all, new, later = happened(1), happened(2, State.CLOSED), happened(3, State.HALF_OPEN)
    async with writer() as one:
        await send(one, first_of_all, known)
        async with held_up():
            first = send(one, known, new)
            await wait_for_a_lock()
            second = send(one, later)
        told = [*await first, *await second]

    assert told == [Stored.DUPLICATE, Stored.ACCEPTED, Stored.ACCEPTED]
    assert committed == []
    assert [step.state for step in await steps()] == [State.OPEN, State.CLOSED, State.HALF_OPEN]
    assert await state() == ("half_open", 3)
    await is_as_history_says([first_of_all, new, later])


async def test_what_was_judged_on_a_group_that_is_cut_off_is_not_taken_for_what_another_did_instead(
    committed: list[int],
) -> None:
    """It moves the breaker as often, and to another state, while the group waits for another breaker."""
    waited_for = [happened(number, breaker="waited for") for number in (1, 2)]
    events = [happened(1), happened(2, State.CLOSED), happened(4, State.CLOSED)]
    instead = happened(3, State.HALF_OPEN)
    async with writer() as one, writer() as other:
        await send(one, waited_for[0])
        await send(one, events[0])
        async with held_up("waited for") as holder:
            first = send(one, waited_for[1], events[1])
            [cut] = await wait_for_a_lock()
            second = send(one, events[2])
            assert await send(other, instead) == [Stored.ACCEPTED]
            await holder.execute("SELECT pg_terminate_backend(%s)", [cut])
            with pytest.raises(Overloaded):
                await first
            assert await second == [Stored.ACCEPTED]

    assert [step.before for step in await steps()] == [
        State.UNKNOWN,
        State.UNKNOWN,
        State.OPEN,
        State.HALF_OPEN,
    ]
    await is_as_history_says([waited_for[0], events[0], instead, events[2]])


async def test_a_few_go_along_with_what_must_be_looked_at_first(committed: list[int]) -> None:
    async with writer() as one:
        await send(one, happened(1, State.OPEN))
        async with held_up():
            first = send(one, happened(2, State.CLOSED))
            await wait_for_a_lock()
            rest = [
                send(one, happened(3, State.OPEN)),
                send(one, happened(1, State.OPEN, breaker="another")),
                send(one, happened(4, State.CLOSED)),
            ]
        outcomes = [outcome for told in (first, *rest) for outcome in await told]

    assert outcomes == [Stored.ACCEPTED] * 4
    assert committed == [1]  # and not the third event by itself, for the new breaker behind it
    assert await state() == ("closed", 4)


async def test_the_target_that_was_said_last_wins(committed: list[int]) -> None:
    """Also where it is the one that the breaker had before."""
    async with writer() as one:
        await send(one, happened(1, target="db"))
        async with held_up():
            answers = [send(one, happened(2))]
            await wait_for_a_lock()
            answers += [send(one, happened(3, target="other")), send(one, happened(4, target="db"))]
        for answer in answers:
            await answer

    assert committed == [1, 2]
    assert (await Breaker.objects.aget()).target == "db"


async def test_who_is_being_stored_when_the_writer_stops_is_told(committed: list[int]) -> None:
    async with writer() as one:
        await send(one, happened(1))
        async with held_up():
            answers = [send(one, happened(2))]
            await wait_for_a_lock()
            answers.append(send(one, happened(3)))
            await one.stop(within_s=0.1)
            for answer in answers:
                with pytest.raises(Overloaded):
                    await answer

    assert committed == []


async def test_a_snapshot_and_a_change_of_one_id_and_time_are_one_event(
    committed: list[int],
) -> None:
    both = {"event_id": "both", "occurred_at": NOW}
    sample, change = happened(2, None, type="snapshot", **both), happened(2, State.CLOSED, **both)
    async with writer() as one:
        await send(one, happened(1), happened(1, None, type="snapshot"))
        assert await send(one, sample, change) == [Stored.ACCEPTED, Stored.DUPLICATE]

    assert committed == []
    assert await state() == ("open", 1)


async def test_a_request_that_stops_going_on_in_its_middle_is_stored_as_a_whole(
    committed: list[int],
) -> None:
    """Its sixtieth event is of another life of the instance, and before it goes another."""
    events = [happened(number) for number in range(1, 101)]
    events[61] = happened(62, State.CLOSED, boot="b")
    async with writer() as one:
        await send(one, events[0])
        async with held_up():
            answers = [send(one, events[1])]
            await wait_for_a_lock()
            answers += [send(one, events[2]), send(one, *events[3:])]
        told = [outcome for answer in answers for outcome in await answer]

    assert told == [Stored.ACCEPTED] * 99
    assert committed == [1]
    await is_as_history_says(events)


@pytest.mark.parametrize("where", ["in its first events", "far behind them"])
async def test_a_late_event_is_stored_and_moves_nothing(committed: list[int], where: str) -> None:
    before = [happened(number, State.OPEN) for number in range(1, 61)]
    late = happened(30, State.CLOSED, seq=29, event_id="late")
    later = [happened(number, State.CLOSED) for number in range(61, 160)]
    place = 3 if where == "in its first events" else 90
    mixed = [*later[:place], late, *later[place:]]
    async with writer() as one:
        await send(one, before[0])
        await send(one, *before[1:])
        told = await send(one, *mixed)

    assert told == [Stored.ACCEPTED] * 100
    assert committed == [59]
    assert await state() == ("closed", 159)
    await is_as_history_says([*before, *mixed])


async def test_who_was_told_that_it_is_not_stored_is_not_stored_afterwards() -> None:
    events = [happened(number) for number in range(1, 5)]
    async with writer() as one:
        await send(one, events[0])
        async with held_up():
            first = send(one, events[1])
            await wait_for_a_lock()
            late, other = send(one, events[2]), send(one, events[3])
            late.set_exception(TimeoutError())
        assert await first == await other == [Stored.ACCEPTED]

    assert isinstance(late.exception(), TimeoutError)
    assert await state() == ("open", 4)
    await is_as_history_says([events[0], events[1], events[3]])


async def test_who_is_told_while_no_connection_is_to_be_had_is_not_stored_afterwards() -> None:
    events = [happened(number) for number in range(1, 4)]
    async with make_pool(size=1, prepares=False) as pool, writer(pool) as one:
        await send(one, events[0])
        async with pool.connection():
            late, other = send(one, events[1]), send(one, events[2])
            await aeventually(lambda: pool.get_stats()["requests_waiting"] == 1)
            late.set_exception(TimeoutError())
        assert await other == [Stored.ACCEPTED]

    assert isinstance(late.exception(), TimeoutError)
    await is_as_history_says([events[0], events[2]])


async def test_a_connection_that_is_cut_in_a_commit_stores_nothing_of_what_was_judged_on_it() -> (
    None
):
    events = [happened(1), happened(2, State.CLOSED), happened(3, State.HALF_OPEN)]
    async with writer() as one:
        await send(one, events[0])
        async with held_up() as holder:
            first = send(one, events[1])
            [cut] = await wait_for_a_lock()
            second = send(one, events[2])
            await holder.execute("SELECT pg_terminate_backend(%s)", [cut])
            with pytest.raises(Overloaded):
                await first
        assert await second == [Stored.ACCEPTED]

    assert [step.before for step in await steps()] == [State.UNKNOWN, State.OPEN]
    assert await state() == ("half_open", 3)
    await is_as_history_says([events[0], events[2]])


async def test_what_is_said_beside_states_is_of_the_newest(committed: list[int]) -> None:
    def sample(number: int, calls: int, **more: Any) -> Happened:
        metrics = Metrics(calls=calls)
        return happened(number, None, type="snapshot", metrics=metrics, **more)

    due = NOW + timedelta(minutes=1)
    async with writer() as one:
        await send(one, happened(1), sample(1, 10))
        async with held_up():
            answers = [send(one, sample(2, 20, library="old", labels={"a": "1"}))]
            await wait_for_a_lock()
            answers.append(send(one, happened(3, target="db", library="new", probe_due_at=due)))
            answers.append(send(one, sample(5, 50), sample(4, 40)))
        for answer in answers:
            await answer

    held = await BreakerInstance.objects.select_related("breaker").aget()
    assert committed == [1, 3]
    assert held.metrics == {"calls": 50}
    assert held.metrics_at == NOW - timedelta(hours=1) + timedelta(seconds=5)
    assert (held.library, held.labels, held.probe_due_at) == ("new", {"a": "1"}, due)
    assert held.breaker.target == "db"
    assert await Snapshot.objects.acount() == 4


async def test_nobody_waits_longer_than_so_for_a_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "_LOOK_EACH_S", 0.02)
    monkeypatch.setattr(queue, "_LOOKS_MAX", 1000)
    async with writer() as one:
        await send(one, happened(1, State.OPEN))
        async with held_up():
            with monkeypatch.context() as impatient:
                impatient.setattr(queue, "_LOOKS_MAX", 3)
                for number in (2, 3):  # the second waits behind the first
                    with pytest.raises(Overloaded):
                        await send(one, happened(number, State.CLOSED))
        assert await send(one, happened(4, State.CLOSED)) == [Stored.ACCEPTED]
