"""What a report counts, from state changes alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakers.reports.tally import Tally, tally
from breakers.reports.timeline import Timeline, timeline
from breakers.states import Change, Held, Origin, State
from tests.support.derive import derive

T0 = datetime(2026, 3, 4, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def change(
    at: int,
    to: str,
    *,
    boot: str | None = None,
    boot_at: int = 0,
    seq: int | None = None,
    origin: Origin = Origin.AGENT,
) -> Change:
    return Change(
        to=State(to),
        natural_state=None,
        cause="automatic",
        reason=None,
        detail=None,
        boot=boot,
        boot_at=T0 + boot_at * SECOND if boot else None,
        seq=seq,
        occurred_at=T0 + at * SECOND,
        origin=origin,
        event_id=f"{at} {to}",
    )


def line(*told: str, **fields: int) -> Timeline:
    """`line("0 closed", "10 open")`."""
    changes = [change(int(at), state) for at, state in (one.split() for one in told)]
    retired = fields.get("retired")
    return timeline(changes, retired_at=None if retired is None else T0 + retired * SECOND)


def absent(*told: str, since: int, until: int) -> Timeline:
    changes = [change(int(at), state) for at, state in (one.split() for one in told)]
    return timeline(changes, absences=[(T0 + since * SECOND, T0 + until * SECOND)])


def over(lines: Sequence[Timeline], since: int = 0, until: int = 3600) -> Tally:
    return tally(lines, since=T0 + since * SECOND, until=T0 + until * SECOND)


def seconds(found: Tally) -> dict[str, float]:
    return {state.value: lasted.total_seconds() for state, lasted in found.states.items()}


def test_time_in_each_state_and_the_trip_between() -> None:
    found = over([line("0 closed", "100 open", "130 half_open", "140 closed")])

    assert seconds(found) == {"closed": 3560, "open": 30, "half_open": 10}
    assert (found.trips, found.recoveries, found.instances) == (1, 1, 1)
    assert found.mean_time_to_recover == 40 * SECOND
    assert found.longest_outage == 40 * SECOND
    assert found.availability == pytest.approx(100 * 3560 / 3600)


def test_a_failed_probe_is_no_new_trip() -> None:
    found = over(
        [line("0 closed", "10 open", "40 half_open", "41 open", "71 half_open", "72 closed")]
    )

    assert (found.trips, found.recoveries, found.recovering) == (1, 1, 62 * SECOND)


def test_a_loss_in_an_outage_neither_ends_it_nor_counts_as_known() -> None:
    found = over([line("0 closed", "10 open", "20 unknown", "50 open", "60 closed")], until=100)

    assert (found.trips, found.recovering) == (1, 50 * SECOND)
    assert seconds(found)["unknown"] == 30
    assert found.availability == pytest.approx(100 * 50 / 70)


def test_forcing_open_what_was_closed_is_no_trip() -> None:
    found = over([line("0 closed", "10 forced_open", "70 closed")])

    assert (found.trips, found.recoveries, found.any_open) == (0, 0, 0 * SECOND)
    assert seconds(found)["forced_open"] == 60


def test_a_hand_within_an_outage_does_not_end_it() -> None:
    found = over([line("0 closed", "10 open", "20 forced_open", "30 open", "40 closed")])

    assert (found.trips, found.recovering) == (1, 30 * SECOND)


@pytest.mark.parametrize("before", ["unknown", "forced_open", "forced_closed"])
def test_a_trip_is_a_leaving_of_closed(before: str) -> None:
    """As the board's ribbons count: what was not seen closed just before did not trip."""
    found = over([line("0 closed", f"10 {before}", "20 open", "30 closed")])

    assert (found.trips, found.recoveries) == (0, 1)


def test_a_first_word_is_a_trip_where_it_says_that_it_left_closed() -> None:
    silent = line("10 open", "30 closed")
    told = timeline([change(10, "open"), change(30, "closed")], left=State.CLOSED)

    assert [over([one]).trips for one in (silent, told)] == [0, 1]
    assert over([silent]).recoveries == 1


def test_any_instance_open_is_counted_once() -> None:
    a = line("0 closed", "10 open", "30 closed")
    b = line("0 closed", "20 open", "50 closed")

    found = over([a, b])

    assert (found.states[State.OPEN], found.any_open) == (50 * SECOND, 40 * SECOND)
    assert (found.trips, found.instances) == (2, 2)


def test_what_began_before_the_span_counts_by_its_whole_length_when_it_ends() -> None:
    outage = [line("0 closed", "10 open", "100 closed")]

    found = over(outage, since=50, until=200)

    assert (found.trips, found.recoveries, found.recovering) == (0, 1, 90 * SECOND)
    assert (found.states[State.OPEN], found.longest_outage) == (50 * SECOND, 90 * SECOND)
    assert over(outage, since=20, until=60).longest_outage == 50 * SECOND


def test_nothing_is_counted_before_the_first_word_or_after_retirement() -> None:
    found = over([line("100 closed", "200 open", retired=300)])

    assert seconds(found) == {"closed": 100, "open": 100}
    assert (found.trips, found.recoveries, found.longest_outage) == (1, 0, 100 * SECOND)
    assert over([line("100 closed", retired=300)], since=300) == Tally()


def test_a_state_known_at_the_edge_of_history_goes_on() -> None:
    last = change(0, "open", boot="a", boot_at=-100)
    start = Held(last, last.occurred_at, last.occurred_at)
    carried = timeline([change(60, "closed", boot="a", boot_at=-100)], start=start)

    found = over([carried], since=30, until=100)

    assert seconds(found) == {"open": 30, "closed": 40}
    assert (found.trips, found.recovering) == (0, 60 * SECOND)


def test_an_outage_with_probes_before_history_counts_from_its_beginning() -> None:
    last = change(50, "half_open", boot="a", boot_at=-100)
    start = Held(last, last.occurred_at, T0 - 100 * SECOND)
    carried = timeline([change(60, "closed", boot="a", boot_at=-100)], start=start)

    found = over([carried], since=55, until=100)

    assert seconds(found) == {"half_open": 5, "closed": 40}
    assert (found.trips, found.recovering) == (0, 160 * SECOND)
    assert found.longest_outage == 160 * SECOND


def test_a_late_event_of_an_older_boot_changes_nothing_after_the_newer_began() -> None:
    changes = [
        change(0, "closed", boot="a", boot_at=0, seq=1),
        change(50, "closed", boot="b", boot_at=50, seq=1),
        change(60, "open", boot="a", boot_at=0, seq=2),
    ]

    found = over([timeline(changes)], until=100)

    assert seconds(found) == {"closed": 100}
    assert found.trips == 0


def test_within_one_instant_the_sequence_decides_and_a_trip_of_no_length_is_one() -> None:
    changes = [change(10, "closed", boot="a", seq=3), change(10, "open", boot="a", seq=2)]
    changes.append(change(0, "closed", boot="a", seq=1))

    found = over([timeline(changes)], until=20)

    assert seconds(found) == {"closed": 20}
    assert (found.trips, found.recoveries) == (1, 1)


def test_a_flap_is_a_trip_soon_after_it_had_closed() -> None:
    found = over([line("0 closed", "10 open", "20 closed", "319 open", "330 closed", "630 open")])

    assert (found.trips, found.flaps) == (3, 1)


def test_nothing_known_is_no_availability() -> None:
    assert over([line("0 unknown")]).availability is None


@st.composite
def histories(draw: st.DrawFn) -> list[Timeline]:
    lines = []
    for _ in range(draw(st.integers(0, 3))):
        changes = [
            change(
                draw(st.integers(0, 1000)),
                draw(st.sampled_from([state.value for state in State])),
                boot=(boot := draw(st.sampled_from([None, "a", "b"]))),
                boot_at={"a": 100, "b": 300}.get(boot or "", 0),
                seq=draw(st.none() | st.integers(0, 5)),
            )
            for _ in range(draw(st.integers(0, 12)))
        ]
        retired = draw(st.none() | st.integers(0, 1200))
        ended = None if retired is None else T0 + retired * SECOND
        lines.append(timeline(changes, retired_at=ended))
    return lines


@given(
    lines=histories(),
    edges=st.lists(st.integers(-50, 1100), min_size=2, max_size=6, unique=True).map(sorted),
)
def test_a_report_over_any_split_of_a_span_adds_up_to_the_whole(
    lines: list[Timeline], edges: list[int]
) -> None:
    whole = over(lines, edges[0], edges[-1])
    parts = [over(lines, a, b) for a, b in pairwise(edges)]

    for state in State:
        nothing = 0 * SECOND
        assert whole.states.get(state, nothing) == sum(
            (part.states.get(state, nothing) for part in parts), nothing
        )
    for name in ("trips", "flaps", "recoveries"):
        assert getattr(whole, name) == sum(getattr(part, name) for part in parts), name
    for name in ("any_open", "recovering"):
        assert getattr(whole, name) == sum((getattr(p, name) for p in parts), 0 * SECOND), name
    assert whole.longest_outage == max(part.longest_outage for part in parts)
    assert whole.instances >= max(part.instances for part in parts)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 9),
            st.sampled_from(["open", "closed", "half_open"]),
            st.sampled_from([None, "a", "b"]),
            st.none() | st.integers(0, 3),
        ),
        min_size=1,
    )
)
def test_the_last_spell_is_the_current_state(told: list[tuple[int, str, str, int | None]]) -> None:
    changes = [
        change(at, to, boot=boot, boot_at={"a": 1, "b": 2}.get(boot or "", 0), seq=seq)
        for at, to, boot, seq in told
    ]

    held = derive(sorted(changes, key=lambda one: one.rank, reverse=True))

    assert held is not None
    assert timeline(changes).spells[-1].state is held.state


def test_who_was_not_there_was_in_no_state_and_did_not_recover() -> None:
    left_open = absent("0 closed", "100 open", "2001 closed", since=400, until=2000)

    found = over([left_open])

    assert seconds(found) == {"closed": 100 + 1600, "open": 300}
    assert (found.trips, found.recoveries, found.instances) == (1, 0, 1)
    assert found.longest_outage == 300 * SECOND
    assert over([left_open], until=1000) == over(
        [line("0 closed", "100 open", retired=400)], until=1000
    )
    assert seconds(over([left_open], since=500, until=1900)) == {}


def test_who_comes_back_as_it_was_is_so_from_then_on() -> None:
    still_open = absent("0 closed", "100 open", "3000 closed", since=400, until=2000)
    closed = absent("0 closed", "2002 open", since=400, until=2000)

    assert seconds(over([still_open])) == {"closed": 100 + 600, "open": 300 + 1000}
    assert over([still_open]).recovering == 1000 * SECOND
    assert seconds(over([closed])) == {"closed": 402, "open": 1598}
    assert over([closed]).trips == 1


def test_what_it_told_meanwhile_counts_from_its_return() -> None:
    told = absent("0 closed", "100 open", "1990 closed", since=400, until=2000)

    assert seconds(over([told])) == {"closed": 100 + 1600, "open": 300}


def test_a_restart_is_no_absence() -> None:
    restarted = absent("0 closed", "100 open", "435 closed", since=400, until=430)

    assert over([restarted]) == over([line("0 closed", "100 open", "435 closed")])
