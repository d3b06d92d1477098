from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakers.agents.clock import ClockOffset
from dashboard.pages import words
from tests.support.eventually import aeventually
from tests.support.web import Web

NOW = datetime.now(UTC)


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


@given(
    st.floats(-1000, 1000),
    st.lists(st.floats(0, 30), min_size=1, max_size=10),
    st.floats(0, 2),
)
def test_late_frames_do_not_count_while_one_is_in_time(
    behind: float, delays: list[float], least: float
) -> None:
    clock = ClockOffset(since=0)
    for at, delay in enumerate([*delays, least]):
        clock.sent(NOW + seconds(at - behind - delay), now=NOW + seconds(at), at=at)

    assert clock.behind_s(at=len(delays)) == pytest.approx(behind + min([*delays, least]), abs=1e-3)


def test_a_single_frame_says_nothing_and_old_ones_are_forgotten() -> None:
    clock = ClockOffset(since=0)
    clock.sent(NOW, now=NOW, at=0)
    assert clock.behind_s(at=0) is None

    clock.sent(NOW, now=NOW + seconds(10), at=10)
    assert clock.behind_s(at=10) == 0
    assert clock.behind_s(at=65) is None


def test_a_backlog_after_an_outage_marks_nothing() -> None:
    clock = ClockOffset(since=0)
    for at in range(0, 60, 5):
        clock.happened(NOW - seconds(3600 - at), now=NOW + seconds(at), at=at)

    assert clock.behind_s(at=60) is None


def test_events_tell_where_no_frame_says_when_it_was_sent() -> None:
    clock = ClockOffset(since=0)
    for at in (70, 80, 90):
        clock.happened(NOW + seconds(at - 12), now=NOW + seconds(at), at=at)
    assert clock.behind_s(at=90) == pytest.approx(12)

    clock.sent(NOW + seconds(91), now=NOW + seconds(91), at=91)
    clock.sent(NOW + seconds(92), now=NOW + seconds(92), at=92)
    assert clock.behind_s(at=92) == pytest.approx(0)


async def test_an_instance_whose_clock_is_off_is_marked(web: Web) -> None:
    def twelve_seconds_ago() -> str:
        return (datetime.now(UTC) - seconds(12)).isoformat()

    async with web.agent(
        {"breaker": "catalog", "state": "closed"}, sent_at=twelve_seconds_ago()
    ) as agent:
        await agent.say(type="ping", sent_at=twelve_seconds_ago())
        await agent.hear("pong")

        async def marked() -> bool:
            [instance] = (await web.get("instances"))["items"]
            return 12 <= (instance["clock_behind"] or 0) < 17

        await aeventually(marked)
        breaker = await web.breaker("orders", "catalog")
        [inside] = (await web.get(f"breakers/{breaker['id']}/instances"))["items"]
        assert inside["clock_behind"] >= 12


def test_only_what_is_off_by_more_than_five_seconds_is_said() -> None:
    assert words.clock_off(None) == words.clock_off(4.9) == words.clock_off(-5) == ""
    assert words.clock_off(12.3) == "clock 12 s behind"
    assert words.clock_off(-65) == "clock 1 min 05 s ahead"
