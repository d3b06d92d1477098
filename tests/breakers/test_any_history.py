"""Events that are told without waiting for each other's answers, to one writer or two: stored once each, and states are
what history says."""

from __future__ import annotations

import asyncio
import itertools
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from breakers.history.rebuild import rebuild
from breakers.ingest.jobs import Stored
from breakers.models import Event, Snapshot
from breakers.states import State
from breakers.wire import Happened, Metrics
from tests.support.writing import NOW, happened, send, writer

_services = itertools.count(1)


class Sent:
    """A history in which most goes on where it was: now and then something is late, repeated, of another life, or of a
    breaker that nobody has heard of."""

    def __init__(self) -> None:
        self.service = f"s{next(_services)}"
        self.events: list[Happened] = []
        self._seq = 0

    def next(self, what: str, pair: tuple[str, str], to: State) -> Happened:
        if what == "repeat" and self.events:
            return self.events[len(self.events) * 2 // 3]
        self._seq += 1
        more: dict[str, Any] = {}
        if what == "late" and self._seq > 3:
            more = {
                "seq": self._seq - 3,
                "occurred_at": NOW - timedelta(hours=1) + timedelta(seconds=self._seq - 3),
            }
        elif what == "life":
            more = {"boot": f"b{self._seq}", "seq": 0}
        elif what == "sample":
            more = {"type": "snapshot", "to": None, "metrics": Metrics(calls=self._seq)}
        breaker, instance = pair
        more["breaker"] = f"new{self._seq}" if what == "new" else breaker
        more = {"to": to, "service": self.service, "instance": instance} | more
        event = happened(self._seq, **more)
        self.events.append(event)
        return event


steps_of_a_history = st.lists(
    st.tuples(
        st.sampled_from(["plain"] * 16 + ["late", "repeat", "life", "sample", "new"]),
        st.sampled_from([(b, i) for b in "xyz" for i in ("i1", "i2")]),
        st.sampled_from([State.CLOSED, State.OPEN, State.HALF_OPEN]),
        st.integers(0, 4),
        st.booleans(),
    ),
    min_size=10,
    max_size=80,
)


@pytest.mark.django_db(transaction=True)
@hypothesis_settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(history=steps_of_a_history, two_writers=st.booleans())
def test_any_history_told_without_waiting_gives_what_it_says(
    history: list[tuple[str, tuple[str, str], State, int, bool]], two_writers: bool
) -> None:
    sent = Sent()

    async def tell() -> tuple[int, int]:
        answers = []
        async with writer() as one, writer() as other:
            for pair in [(b, i) for b in "xyz" for i in ("i1", "i2")]:
                await send(one, sent.next("plain", pair, State.CLOSED))
            batch: list[Happened] = []
            for what, pair, to, turns, ends in history:
                batch.append(sent.next(what, pair, to))
                if ends:
                    answers.append(send(other if two_writers and turns == 4 else one, *batch))
                    batch = []
                    for _ in range(turns):
                        await asyncio.sleep(0)
            answers.append(send(one, *batch))
            told = [outcome for answer in answers for outcome in await answer]
        return told.count(Stored.ACCEPTED), told.count(Stored.DUPLICATE)

    accepted, repeated = asyncio.run(tell())

    assert list(rebuild(write=False)) == []
    told = {event.event_id for event in sent.events}
    tables = (Event, Snapshot)
    stored = [
        id
        for table in tables
        for id in table.objects.filter(event_id__in=told).values_list("event_id", flat=True)
    ]
    assert sorted(stored) == sorted(told)
    assert accepted == len(told) - 6
    assert repeated == len(history) - accepted
