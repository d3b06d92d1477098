from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from breakers.states import Change, Held, Origin, State, transition
from tests.support.derive import derive

T0 = datetime(2026, 1, 1, tzinfo=UTC)
BOOTS = {None: None, "a": T0, "b": T0 + timedelta(seconds=3), "c": T0 + timedelta(seconds=3)}


@st.composite
def changes(draw: st.DrawFn) -> Change:
    boot = draw(st.sampled_from(list(BOOTS)))
    return Change(
        to=draw(st.sampled_from(State)),
        natural_state=None,
        cause="unknown",
        reason=None,
        detail=None,
        boot=boot,
        boot_at=BOOTS[boot],
        seq=draw(st.none() | st.integers(0, 3)),
        occurred_at=T0 + timedelta(seconds=draw(st.integers(0, 5))),
        origin=draw(st.sampled_from(Origin)),
        event_id=draw(st.text("xyz", min_size=1, max_size=2)),
    )


def change(to: State, at: int, **fields: object) -> Change:
    defaults: dict[str, object] = {
        "natural_state": None,
        "cause": "unknown",
        "reason": None,
        "detail": None,
        "boot": None,
        "boot_at": None,
        "seq": None,
        "origin": Origin.AGENT,
        "event_id": "e",
    }
    return Change(to=to, occurred_at=T0 + timedelta(seconds=at), **(defaults | fields))  # type: ignore[arg-type]


def fold(history: list[Change]) -> Held | None:
    held: Held | None = None
    for one in history:
        held = transition(held, one) or held
    return held


@given(st.lists(changes(), unique_by=lambda one: one.rank), st.randoms())
def test_the_last_change_is_the_same_in_any_order_of_arrival(
    history: list[Change], random: object
) -> None:
    shuffled = list(history)
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    in_order, out_of_order = fold(history), fold(shuffled)

    assert (in_order and in_order.last) == (out_of_order and out_of_order.last)


@given(st.lists(changes(), unique_by=lambda one: one.rank))
def test_deriving_agrees_with_folding_in_order(history: list[Change]) -> None:
    ranked = sorted(history, key=lambda one: one.rank)

    assert derive(reversed(ranked)) == fold(ranked)


def test_a_higher_seq_beats_a_later_time() -> None:
    held = fold([change(State.OPEN, 9, seq=2), change(State.CLOSED, 20, seq=1)])

    assert held is not None
    assert held.state is State.OPEN


def test_a_later_boot_beats_a_higher_seq() -> None:
    held = fold(
        [
            change(State.OPEN, 1, boot="old", boot_at=T0, seq=99),
            change(State.CLOSED, 2, boot="new", boot_at=T0 + timedelta(seconds=2), seq=0),
        ]
    )

    assert held is not None
    assert held.state is State.CLOSED


def test_at_the_same_instant_the_id_decides_whoever_speaks() -> None:
    held = fold(
        [
            change(State.UNKNOWN, 1, origin=Origin.SERVER, event_id="a"),
            change(State.OPEN, 1, event_id="z"),
        ]
    )

    assert held is not None
    assert held.state is State.OPEN


def test_saying_the_same_again_keeps_since() -> None:
    held = fold([change(State.OPEN, 1), change(State.OPEN, 5, event_id="f")])

    assert held is not None
    assert held.since == T0 + timedelta(seconds=1)
    assert held.last.occurred_at == T0 + timedelta(seconds=5)


def test_a_failed_probe_is_still_the_same_outage() -> None:
    held = fold(
        [
            change(State.OPEN, 1, event_id="a"),
            change(State.HALF_OPEN, 5, event_id="b"),
            change(State.OPEN, 6, event_id="c"),
        ]
    )

    assert held is not None
    assert (held.since, held.not_closed_since) == (
        T0 + timedelta(seconds=6),
        T0 + timedelta(seconds=1),
    )


def test_closing_ends_an_outage_and_being_lost_or_held_closed_too() -> None:
    for calm in (State.CLOSED, State.FORCED_CLOSED, State.UNKNOWN):
        history = [change(State.OPEN, 1, event_id="a"), change(calm, 5, event_id="b")]

        ended = fold(history)
        again = fold([*history, change(State.OPEN, 9, event_id="c")])

        assert ended is not None
        assert again is not None
        assert ended.not_closed_since is None
        assert again.not_closed_since == T0 + timedelta(seconds=9)
