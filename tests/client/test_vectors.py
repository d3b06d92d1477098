"""The vectors that agents in other languages are tested by, read by the SDK's own decisions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from panelboard_client import link, wire
from panelboard_client.buffer import Buffer
from panelboard_client.conformance.report import RULES
from panelboard_client.desired import Standing, Step
from panelboard_client.wire import Applied, Event, Order, Welcome

VECTORS = Path("client/vectors")
TOPICS = ("desired", "events", "ending")
Case = dict[str, Any]


def cases(topic: str) -> list[Case]:
    return list(json.loads((VECTORS / f"{topic}.json").read_text())["cases"])


def of(topic: str) -> Any:
    return pytest.mark.parametrize("case", cases(topic), ids=lambda case: case["name"])


class Library:
    """A breaker library of words, for one breaker: the SDK's decisions do the rest."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.standing = Standing()
        self.natural = "closed"
        self.does = "obeys"
        self.runs: list[str] = []

    def receive(self, order: Order, now: float) -> Applied | None:
        step = self.standing.receive(order, now)
        if step is Step.CONVERGE and self.does == "refuses":
            self.standing.drop()
            self.standing.settle("refused")
        elif step is Step.CONVERGE:
            return self.proceed(now)
        return self.answer()

    def proceed(self, now: float) -> Applied | None:
        """Runs what waits; None while it cannot."""
        waiting = self.standing.waiting
        if waiting is None:
            self.standing.settle(None)
        elif now >= waiting.until:
            self.standing.ran(waiting.id)
            self.standing.settle("too late")
        elif self.does == "busy":
            return None
        else:
            self.standing.ran(waiting.id)
            self.runs.append(waiting.id)
            self.natural = {"trip": "open", "reset": "closed"}[waiting.command]
            self.standing.settle(None)
        return self.answer()

    def time_passes(self, now: float) -> Applied | None:
        self.standing.lapse(now)
        return self.proceed(now) if self.standing.waiting is not None else None

    def answer(self) -> Applied | None:
        revision = self.standing.answerable()
        if revision is None:
            return None
        return Applied(self.name, revision, self.standing.error, self.state, self.natural)

    @property
    def state(self) -> str:
        return self.standing.mode or self.natural

    def presented(self) -> dict[str, Any]:
        return {
            "state": self.state,
            "natural_state": self.natural,
            "applied_revision": self.standing.applied,
        }


def orders(text: str, breakers: dict[str, Library]) -> Iterator[Order]:
    frame = wire.parse(text)
    if isinstance(frame, Order):
        yield frame
    elif isinstance(frame, Welcome):
        for name in frame.unknown_revisions:
            breakers[name].standing.forget_answers()
        yield from frame.desired


@of("desired")
def test_what_is_wished_is_obeyed_and_answered(case: Case) -> None:
    breakers = {name: Library(name) for name in ("catalog", "users")}
    now = 0.0
    for step in case["steps"]:
        now = step.get("at", now)
        for each in breakers.values():
            each.does = step.get("library", each.does)
            each.runs = []
        said = [each.time_passes(now) for each in breakers.values()]
        if "receive" in step:
            said += [
                breakers[order.breaker].receive(order, now)
                for order in orders(json.dumps(step["receive"]), breakers)
                if order.breaker in breakers
            ]
        answers = [json.loads(wire.applied(answer)) for answer in said if answer is not None]

        if "answers" in step:
            assert [_cut(a, to=w) for a, w in zip(answers, step["answers"], strict=True)] == step[
                "answers"
            ]
        for name, mode in step.get("modes", {}).items():
            assert breakers[name].standing.mode == mode
        if "runs" in step:
            assert [run for each in breakers.values() for run in each.runs] == step["runs"]
        for name, wanted in step.get("hello", {}).items():
            assert _cut(breakers[name].presented(), to=wanted) == wanted


@of("events")
def test_events_are_sent_until_they_are_acknowledged(case: Case) -> None:
    buffer = Buffer()
    happened: list[str] = []
    batches: list[list[str]] = []
    connected, under_way = True, False
    for step in case["steps"]:
        sent: list[str] = []
        if "change" in step:
            change = step["change"]
            happened.append(f"e{len(happened)}")
            number = len(happened)
            buffer.add(
                Event(happened[-1], change["breaker"], "state_change", number, 1.0, to=change["to"])
            )
        if "ack" in step and under_way and step["ack"] == len(batches) - 1:
            buffer.settle()
            under_way = False
        if "disconnect" in step:
            connected = under_way = False
        if "connect" in step:
            connected = True
        if connected and not under_way:
            batch = buffer.batch(wire.MAX_BATCH)
            if batch:
                frame = json.loads(wire.events(len(batches), batch))
                sent = [event["id"] for event in frame["events"]]
                batches.append(sent)
                under_way = True

        if "sent" in step:
            assert sent == [happened[number] for number in step["sent"]]
        if "unacknowledged" in step:
            assert len(buffer) == len(step["unacknowledged"])


@of("ending")
def test_what_follows_the_end_of_a_connection(case: Case) -> None:
    for step in case["steps"]:
        code = step["ended"]
        if code in link.REFUSALS:
            bounds = (link.REFUSED_PAUSE_S * 0.5, link.REFUSED_PAUSE_S)
        else:
            bounds = (link.backoff(step["attempt"], 0.0), link.backoff(step["attempt"], 1.0))
        assert bounds == (step["wait_least"], step["wait_most"])
        assert (step["instance"] == "another") == (code == link.NAME_TAKEN)


def test_every_case_is_of_this_version_and_of_a_rule_in_the_protocols_page() -> None:
    assert {path.stem for path in VECTORS.glob("*.json")} == set(TOPICS)
    for topic in TOPICS:
        whole = json.loads((VECTORS / f"{topic}.json").read_text())
        assert (whole["vectors"], whole["topic"]) == (1, topic)
        assert {case["rule"] for case in whole["cases"]} <= set(RULES)
        names = [case["name"] for case in whole["cases"]]
        assert len(set(names)) == len(names)


def _cut(whole: dict[str, Any], *, to: dict[str, Any]) -> dict[str, Any]:
    """The fields that a vector speaks of."""
    return {key: whole[key] for key in to if key in whole}
