"""The server's words, held to the cases that the browser's are held to as well."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from breakers.wire import Summary
from dashboard.pages import words

CASES: dict[str, Any] = json.loads(
    (Path(__file__).parents[3] / "frontend" / "test" / "cases" / "words.json").read_text()
)


def summary(**named: Any) -> Summary:
    state = named.get("state", "closed")
    said = {
        "id": "1",
        "environment": "prod",
        "service": "orders",
        "breaker": "catalog-api",
        "target": "catalog",
        "state": state,
        "states": {state: 1},
        "instances": 1,
        "agents": 1,
        "since": None,
        "not_closed_since": None,
        "probe_due_at": None,
        "naturally_open": 0,
        "failure_rate": None,
        "rate_of": None,
        "calls_per_second": None,
        "override": None,
        "revision": 0,
        "updated_at": datetime(2026, 11, 9, tzinfo=UTC),
    }
    if named.get("override"):
        held = {"reason": "r", "by": "ana", "expires_at": None, "instances": None}
        named["override"] = held | named["override"]
    return msgspec.convert(said | named, Summary)


@pytest.mark.parametrize("name", ["lasting", "ago", "left", "percent"])
def test_numbers_and_spans_are_said_as_the_browser_says_them(name: str) -> None:
    for value, said in CASES[name]:
        assert getattr(words, name)(value) == said


@pytest.mark.parametrize(("seconds", "clock", "said"), CASES["probe"])
def test_when_a_probe_is_due_is_said_as_the_browser_says_it(
    seconds: float, clock: str, said: str
) -> None:
    assert words.probe_due(seconds, clock) == said


@pytest.mark.parametrize(("name", "pieces"), CASES["breakable"])
def test_a_name_goes_on_in_the_next_line_where_the_browser_lets_it(
    name: str, pieces: list[str]
) -> None:
    assert words.breakable(name) == pieces


def moment(clock: str | None) -> datetime | None:
    return None if clock is None else datetime.fromisoformat(f"2026-11-09T{clock}Z")


@pytest.mark.parametrize(("seen", "said"), CASES["since"])
def test_since_when_is_said_as_the_browser_says_it(
    seen: tuple[str, str | None, str | None], said: tuple[str, str | None]
) -> None:
    state, since, outage = seen
    lead, start = said

    assert words.standing_since(state, moment(since), moment(outage)) == (lead, moment(start))


@pytest.mark.parametrize("case", CASES["sentences"], ids=lambda case: case["what"])
def test_the_headline_says_what_a_person_would(case: dict[str, Any]) -> None:
    summaries = [summary(**named) for named in case["breakers"]]

    assert (
        "".join(part.text for part in words.headline(summaries, look=case.get("look", 0)))
        == case["headline"]
    )
    assert words.underline(summaries) == case["underline"]
    assert words.tab_title(summaries) == case["tab"]


@pytest.mark.parametrize("case", CASES["filtered"], ids=lambda case: case["what"])
def test_a_filtered_board_says_so(case: dict[str, Any]) -> None:
    shown, hidden = ([summary(**named) for named in case[which]] for which in ("shown", "hidden"))

    said = words.headline(shown, filtered=True)
    assert "".join(part.text for part in said) == case["headline"]
    assert words.filtered_underline(shown, hidden) == case["underline"]


@pytest.mark.parametrize("case", CASES["standings"])
def test_a_breakers_standing_is_said_as_the_browser_says_it(case: dict[str, Any]) -> None:
    seen = summary(**case["breaker"])

    assert words.instance_words(seen) == case["instances"]
    assert words.standing_title(seen) == case.get("title", words.state_title(seen.state))
    assert words.rate_words(seen) == case["rate"]
    assert words.rate_tail(seen) == case.get("tail", "failing")
    assert words.small_line(seen) == case["small"]


def test_the_headline_links_to_what_it_is_about() -> None:
    parts = words.headline([summary(state="open"), summary(state="open", service="feed")])

    assert [part.url for part in parts if part.filter] == ["/?q=target%3D%22catalog%22"]
