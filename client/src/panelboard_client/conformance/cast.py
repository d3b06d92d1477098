"""Who is on the stage: the agent under test with one of its breakers, and what can be asked of it."""

from __future__ import annotations

from typing import Any, List, Optional, Tuple

from panelboard_client.conformance.report import Report
from panelboard_client.conformance.stage import Call, Frame, Stage

QUIET_S = 0.5
"""What an agent that does nothing gets to show that it does nothing."""


class Absent(Exception):
    """The agent is not there, so the scene cannot be played."""


class Cast:
    """The stage, the report, and the one breaker that the play is about."""

    def __init__(
        self, stage: Stage, report: Report, *, patience_s: float, back_within_s: float
    ) -> None:
        self.stage = stage
        self.report = report
        self.patience_s = patience_s
        self.back_within_s = back_within_s
        self.breaker = ""

    def enter(self, within_s: float) -> Call:
        """The agent with its breaker as the library judges it; raises Absent."""
        call = self.stage.next_call(0, within_s)
        if call is None or call.hello is None:
            raise Absent("the agent is not connected")
        self.breaker = str(call.hello["breakers"][0]["breaker"])
        return call

    def answer(self, revision: int, call: Optional[Call] = None) -> Optional[Frame]:
        """The first `applied` of this revision, waited for."""

        def found() -> Optional[Frame]:
            calls = [call] if call is not None else list(self.stage.calls)
            for each in calls:
                for frame in each.of_type("applied"):
                    if (frame.get("breaker"), frame.get("revision")) == (self.breaker, revision):
                        return frame
            return None

        return self.stage.wait(found, self.patience_s)

    def answers(self) -> int:
        return sum(len(call.of_type("applied")) for call in list(self.stage.calls))

    def next_answer(self, so_far: int) -> Optional[Frame]:
        """The first `applied` after the first `so_far` ones."""

        def found() -> Optional[Frame]:
            all_of = [f for call in list(self.stage.calls) for f in call.of_type("applied")]
            return all_of[so_far] if len(all_of) > so_far else None

        return self.stage.wait(found, self.patience_s)

    def force(self, mode: str = "forced_open", **more: Any) -> Tuple[int, Frame]:
        """An override in effect, confirmed; raises Absent where the agent says that it cannot."""
        revision = self.stage.order(self.breaker, mode, **more)
        answer = self.answer(revision)
        if answer is None:
            raise Absent(f"revision {revision} ({mode}) was not answered")
        if not answer.get("ok"):
            raise Absent(f"the agent refused {mode}: {answer.get('error')}")
        return revision, answer

    def release(self) -> Optional[Frame]:
        return self.answer(self.stage.order(self.breaker, None))

    def is_still(self, since: int) -> bool:
        """Whether no change follows the first `since` ones, for a moment."""
        return not self.stage.wait(lambda: len(self.changes()) > since, QUIET_S)

    def changes(self, to: Optional[str] = None) -> List[Frame]:
        return [
            event
            for event in self.stage.events(breaker=self.breaker)
            if event.get("type", "state_change") == "state_change"
            and (to is None or event.get("to") == to)
        ]


def same(cast: Cast, rule: str, before: Call, after: Call) -> None:
    assert before.hello is not None
    assert after.hello is not None
    for field in ("service", "environment", "instance", "boot"):
        old, new = before.hello.get(field), after.hello.get(field)
        cast.report.judge(rule, old == new, f"it came back with {field} {new!r}, was {old!r}")


def inside(call: Call, breaker: str) -> Frame:
    assert call.hello is not None
    found = [each for each in call.hello["breakers"] if each.get("breaker") == breaker]
    return found[0] if found else {}


def events_of(call: Call) -> List[Frame]:
    return [event for frame in call.of_type("events") for event in frame.get("events") or []]


def wish(
    breaker: str, revision: int, mode: Optional[str], expires_in: Optional[float] = None
) -> Frame:
    return {
        "type": "desired",
        "breaker": breaker,
        "revision": revision,
        "mode": mode,
        "reason": None,
        "expires_in": expires_in,
        "command": None,
    }


def short(frame: Optional[Frame]) -> str:
    if frame is None:
        return "none"
    told = ("revision", "ok", "state", "error")
    return ", ".join(f"{key} {frame[key]!r}" for key in told if key in frame)
