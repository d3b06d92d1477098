"""`python -m panelboard_client.conformance`, run as people run it, against real agents in processes of their own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from panelboard_client.conformance.report import BROKEN, KEPT, NOT_SEEN, RULES

HERE = Path(__file__).parent
DOCUMENT = Path("docs/agent-protocol.md")
TINY = [sys.executable, str(HERE / "tiny_agent.py")]
SDK = [sys.executable, str(HERE / "sdk_agent.py")]


def conformance(
    *agent: str, options: tuple[str, ...] = (), within_s: float = 200
) -> tuple[int, dict[str, Any]]:
    """The exit code, and the findings."""
    done = subprocess.run(
        [sys.executable, "-m", "panelboard_client.conformance", "--json", *options, "--", *agent],
        capture_output=True,
        text=True,
        timeout=within_s,
    )
    assert done.stdout, done.stderr[-4000:]
    return done.returncode, json.loads(done.stdout)


def verdicts(found: dict[str, Any]) -> dict[str, str]:
    return {each["rule"]: each["verdict"] for each in found["rules"]}


def test_our_own_agent_keeps_every_rule() -> None:
    code, found = conformance(*SDK)

    assert verdicts(found) == dict.fromkeys(RULES, KEPT), json.dumps(found, indent=1)
    assert code == 0


def test_an_agent_of_a_few_lines_can_keep_every_rule() -> None:
    code, found = conformance(*TINY)

    # It has no reason to say hello twice.
    assert verdicts(found) == dict.fromkeys(RULES, KEPT) | {"hello-again": NOT_SEEN}, json.dumps(
        found, indent=1
    )
    assert code == 0


STAYS_AWAY = ("silence", "reconnect-1012", "reconnect-1013", "back-off")
"""Broken by an agent that does not come back, which takes as long to see as it is waited for."""


@pytest.mark.parametrize("rule", RULES)
def test_an_agent_that_breaks_a_rule_is_caught_at_it(rule: str) -> None:
    back_within = "5" if rule in STAYS_AWAY else "30"
    options = ("--patience", "2", "--back-within", back_within, "--heartbeat", "0.5")
    options = ("--only", rule, *options)

    code, found = conformance(*TINY, "--wrong", rule, options=options)

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
