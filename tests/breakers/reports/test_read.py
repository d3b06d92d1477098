"""What is read for a report: no more than matters to its span, and nothing less."""

from __future__ import annotations

import asyncio
import itertools
from datetime import datetime, timedelta

import pytest
from asgiref.sync import sync_to_async
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from breakers.models import Breaker
from breakers.reports.read import reports_of, timelines_of
from breakers.reports.span import Span
from breakers.reports.tally import tally
from breakers.states import State
from tests.support.writing import NOW, happened, send, writer

pytestmark = pytest.mark.django_db(transaction=True)
MINUTE = timedelta(minutes=1)
T0 = NOW - timedelta(hours=3)
_names = itertools.count(1)


async def told(*changes: tuple[int, State, str, bool]) -> Breaker:
    """Stored one after the other: (minute, state, instance, whether its number is that of two before)."""
    name = f"b{next(_names)}"
    events = [
        happened(
            number - 2 if is_late else number,
            to,
            breaker=name,
            instance=instance,
            occurred_at=T0 + minute * MINUTE,
        )
        for number, (minute, to, instance, is_late) in enumerate(changes, 3)
    ]
    async with writer() as one:
        for event in events:
            await send(one, event)
    return await Breaker.objects.aget(name=name)


def at(minutes: int) -> datetime:
    return T0 + minutes * MINUTE


states = st.sampled_from(
    [State.CLOSED, State.OPEN, State.OPEN, State.HALF_OPEN, State.FORCED_OPEN, State.FORCED_CLOSED]
)
changes = st.tuples(st.integers(0, 60), states, st.sampled_from("ab"), st.just(False))
orders = st.sampled_from(["by time", "by time", "by time", "as it comes"])


@hypothesis_settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    history=st.lists(changes, min_size=1, max_size=25),
    order=orders,
    cuts=st.tuples(st.integers(-2, 62), st.integers(-2, 62)).filter(lambda cuts: cuts[0] < cuts[1]),
)
def test_a_report_says_the_same_as_if_all_of_history_was_read(
    history: list[tuple[int, State, str, bool]], order: str, cuts: tuple[int, int]
) -> None:
    breaker = asyncio.run(told(*(sorted(history) if order == "by time" else history)))
    span = Span(at(cuts[0]), at(cuts[1]))

    [(_, report)] = reports_of([breaker], span)

    everything = timelines_of([breaker.pk], Span(at(-60), span.until))
    assert report == tally(everything.get(breaker.pk, ()), since=span.since, until=span.until)


async def test_what_lies_before_the_outage_of_the_spans_beginning_is_not_read() -> None:
    probes = [(30 + n, State.HALF_OPEN if n % 2 else State.OPEN, "a", False) for n in range(8)]
    before = [(n, State.OPEN if n % 2 else State.CLOSED, "a", False) for n in range(1, 20)]
    ended = [(50, State.CLOSED, "a", False)]
    breaker = await told(*before, (20, State.CLOSED, "a", False), *probes, *ended)

    span = Span(at(45), at(60))
    lines = await sync_to_async(timelines_of)([breaker.pk], span)

    [line] = lines[breaker.pk]
    assert line.spells[0] == (State.CLOSED, at(20))
    assert [spell.begun for spell in line.spells[1:]] == [at(30 + n) for n in range(8)] + [at(50)]
    report = tally([line], since=span.since, until=span.until)
    assert (report.recoveries, report.mean_time_to_recover) == (1, 20 * MINUTE)


async def test_of_an_instance_whose_numbers_and_times_disagree_all_is_read() -> None:
    """A change of a low number changes nothing, however late its time is."""
    breaker = await told(
        (1, State.CLOSED, "a", False),
        (2, State.OPEN, "a", False),
        (3, State.CLOSED, "a", True),
        (40, State.HALF_OPEN, "a", False),
    )

    span = Span(at(30), at(60))
    lines = await sync_to_async(timelines_of)([breaker.pk], span)

    assert [spell.state for spell in lines[breaker.pk][0].spells] == [
        State.CLOSED,
        State.OPEN,
        State.HALF_OPEN,
    ]
