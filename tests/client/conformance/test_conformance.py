"""`python -m panelboard_client.conformance`, run as people run it, against real agents in processes of their own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from panelboard_client.conformance.report import BROKEN, KEPT, NOT_SEEN, RULES

pytestmark = pytest.mark.xdist_group("conformance")

HERE = Path(__file__).parent
DOCUMENT = Path("docs/agent-protocol.md")
TINY = (sys.executable, str(HERE / "tiny_agent.py"))
SDK = (sys.executable, str(HERE / "sdk_agent.py"))


AT_ONCE = 4
"""Plays wait for most of their time, and take a third of a second of work."""


@dataclass(frozen=True)
class Play:
    """One run of the command, with an agent."""

    agent: tuple[str, ...]
    options: tuple[str, ...] = ()

    def run(self) -> tuple[int, dict[str, Any]]:
        """The exit code, and the findings."""
        command = [sys.executable, "-m", "panelboard_client.conformance", "--json"]
        done = subprocess.run(
            [*command, *self.options, "--", *self.agent],
            capture_output=True,
            text=True,
            timeout=200,
        )
        assert done.stdout, done.stderr[-4000:]
        return done.returncode, json.loads(done.stdout)


Conformance = Callable[[Play], tuple[int, dict[str, Any]]]


@pytest.fixture(scope="module")
def conformance(request: pytest.FixtureRequest) -> Iterator[Conformance]:
    """The plays of all chosen tests of this module, a few at a time; each test waits for its own."""
    calls = [
        getattr(item, "callspec", None)
        for item in request.session.items
        if item.path == request.path
    ]
    pool = ThreadPoolExecutor(AT_ONCE)
    plays = {call.params["play"]: None for call in calls if call is not None}
    running = {play: pool.submit(play.run) for play in plays}
    yield lambda play: running[play].result()
    pool.shutdown(cancel_futures=True)


def verdicts(found: dict[str, Any]) -> dict[str, str]:
    return {each["rule"]: each["verdict"] for each in found["rules"]}


@pytest.mark.parametrize("play", [Play(SDK)], ids=["sdk"])
def test_our_own_agent_keeps_every_rule(conformance: Conformance, play: Play) -> None:
    code, found = conformance(play)

    assert verdicts(found) == dict.fromkeys(RULES, KEPT), json.dumps(found, indent=1)
    assert code == 0


@pytest.mark.parametrize("play", [Play(TINY)], ids=["tiny"])
def test_an_agent_of_a_few_lines_can_keep_every_rule(conformance: Conformance, play: Play) -> None:
    code, found = conformance(play)

    # It has no reason to say hello twice.
    assert verdicts(found) == dict.fromkeys(RULES, KEPT) | {"hello-again": NOT_SEEN}, json.dumps(
        found, indent=1
    )
    assert code == 0


STAYS_AWAY = ("silence", "reconnect-1012", "reconnect-1013", "back-off")
"""Broken by an agent that does not come back, which takes as long to see as it is waited for."""


def wrong(rule: str) -> Play:
    """By an agent that breaks this rule."""
    back_within = "5" if rule in STAYS_AWAY else "30"
    options = ("--patience", "2", "--back-within", back_within, "--heartbeat", "0.5")
    return Play((*TINY, "--wrong", rule), ("--only", rule, *options))


@pytest.mark.parametrize(("rule", "play"), [(rule, wrong(rule)) for rule in RULES], ids=list(RULES))
def test_an_agent_that_breaks_a_rule_is_caught_at_it(
    conformance: Conformance, rule: str, play: Play
) -> None:
    code, found = conformance(play)

    [judged] = found["rules"]
    assert (judged["rule"], judged["verdict"]) == (rule, BROKEN), judged
    assert judged["why"]
    assert code == 1


def test_where_no_agent_comes_it_says_so() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "panelboard_client.conformance", "--wait", "0.2", "--key", "k"],
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 2
    assert re.search(r"Listening at http://127\.0\.0\.1:\d+, with the key k\n", done.stderr)
    assert "No agent" in done.stderr


def test_every_rule_stands_in_the_protocols_page() -> None:
    page = DOCUMENT.read_text()

    assert [rule for rule in RULES if f"`{rule}`" not in page] == []
