"""Folding: runs of failed probes become one row, and nothing else changes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import zip_longest

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dashboard.pages.events import EventRow, ProbesRow, fold

T0 = datetime(2026, 11, 9, 14, 0, tzinfo=UTC)
STATES = ("closed", "open", "half_open", "forced_open", "forced_closed")


def told(*moves: str, cause: str = "automatic") -> list[EventRow]:
    """Events from "INSTANCE BEFORE TO", oldest first, as a page has them: newest first."""
    events = []
    for n, move in enumerate(moves):
        instance, before, to = move.split()
        events.append(event(n, instance, None if before == "-" else before, to, cause=cause))
    return events[::-1]


def event(
    n: int, instance: str, before: str | None, to: str | None, *, cause: str = "automatic"
) -> EventRow:
    return EventRow(
        id=str(n),
        occurred_at=T0 + n * timedelta(seconds=1),
        type="note" if to is None else "state_change",
        before=before,
        to=to,
        instance=instance,
        why="",
        cause=cause,
    )


def shape(rows: Sequence[EventRow | ProbesRow]) -> list[str]:
    """The rows, oldest first: "a open", or "probed 2 times" for a run."""
    return [
        row.probed if isinstance(row, ProbesRow) else f"{row.instance} {row.to or 'note'}"
        for row in reversed(rows)
    ]


PROBE = ("a open half_open", "a half_open open")


def test_the_trip_stays_in_sight_under_its_probes() -> None:
    rows = fold(told("a closed open", *PROBE * 14))

    assert shape(rows) == ["a open", "probed 14 times"]


def test_probes_of_several_instances_are_one_run() -> None:
    other = ("b open half_open", "b half_open open")

    [run, *trips] = fold(told("a closed open", "b closed open", *PROBE, *other, *PROBE))

    assert isinstance(run, ProbesRow)
    assert (run.probed, run.instances) == ("probed 3 times", ["a", "b"])
    assert shape(trips) == ["a open", "b open"]


def test_a_probe_that_succeeded_is_told_by_itself() -> None:
    rows = fold(told("a closed open", *PROBE, "a open half_open", "a half_open closed"))

    assert shape(rows) == ["a open", "probed once", "a half_open", "a closed"]


def test_a_probe_under_way_belongs_to_its_run_and_one_alone_is_no_run() -> None:
    assert shape(fold(told("a closed open", *PROBE, "a open half_open"))) == [
        "a open",
        "probed once",
    ]
    assert shape(fold(told("a closed open", "a open half_open"))) == ["a open", "a half_open"]


def test_what_comes_between_parts_a_run() -> None:
    probes = told(*PROBE * 2)
    note = event(9, "a", None, None)

    assert shape(fold([*probes, note, *probes])) == ["probed 2 times", "a note", "probed 2 times"]


def test_what_a_hand_did_is_no_probe() -> None:
    assert shape(fold(told(*PROBE, cause="manual"))) == ["a half_open", "a open"]


# A busy machine takes its time over making the lists.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
events_lists = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.sampled_from((None, *STATES)),
        st.sampled_from((None, *STATES)),
        st.sampled_from(("automatic", "manual", "unknown", "server")),
    ),
    max_size=40,
).map(lambda said: [event(n, *one[:3], cause=one[3]) for n, one in enumerate(said)][::-1])


@patient
@given(events_lists)
def test_nothing_is_lost_and_the_order_is_kept(events: list[EventRow]) -> None:
    unfolded = [
        one
        for row in fold(events)
        for one in (row.events if isinstance(row, ProbesRow) else (row,))
    ]

    assert unfolded == events


@patient
@given(events_lists)
def test_only_probes_are_folded_and_as_far_as_they_go(events: list[EventRow]) -> None:
    rows = fold(events)

    for row, below in zip_longest(rows, rows[1:]):
        if isinstance(row, ProbesRow):
            assert len(row.events) > 1
            assert {one.to for one in row.events} <= {"open", "half_open"}
            assert {one.cause for one in row.events} <= {"automatic", "unknown"}
            assert not isinstance(below, ProbesRow)


@patient
@given(events_lists)
def test_a_trip_is_never_folded(events: list[EventRow]) -> None:
    folded = [one for row in fold(events) if isinstance(row, ProbesRow) for one in row.events]

    assert not [one for one in folded if one.before == "closed"]
