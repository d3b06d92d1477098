"""What was found, rule by rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Optional

RULES = {
    "key": "the key goes in the header Authorization: Bearer KEY",
    "hello-first": "the first frame is a hello, with service, instance, boot and the breakers",
    "frames": "frames are JSON text, of a known type, with the fields and limits of the protocol",
    "hello-again": "a later hello on one socket speaks for the same instance and boot",
    "connection-grows": "hellos that number their connections do so upwards within a boot",
    "applied": "an override is put into effect and answered with its revision and the state read back",
    "null-confirmed": "a revision without a mode ends the override and is answered too",
    "repeat": "the same revision again changes nothing and is answered",
    "older-revision": "an older revision changes nothing and is answered with the last applied",
    "revision-gap": "revisions may skip numbers",
    "unknown-fields": "unknown fields are ignored",
    "unknown-frames": "frames of an unknown type are ignored",
    "unknown-breaker": "an order for a breaker that is not there is not confirmed, and ends nothing",
    "unknown-mode": "a mode that the agent does not know is refused with an error, and what stood stands",
    "expiry": "an override ends at its time, without a word of the server",
    "command": "a command runs, and is answered afterwards",
    "command-once": "a command runs once by its id, also where a later revision brings it again",
    "command-late": "a command whose time is over does not run",
    "event-ids": "events have an id and a time, and a seq that grows by breaker",
    "ping": "the agent pings at the heartbeat of the welcome",
    "reconnect-1012": "after 1012 the agent connects again, as the same instance and boot",
    "standing": "an override stands through a disconnect, and the hello has the applied revision",
    "revision-forgotten": "what the panel warns of as unknown is forgotten, and what it wishes is put into effect",
    "resend": "events without an ack come again, the same id and time",
    "acked-once": "events that were acknowledged do not come again",
    "silence": "three heartbeats without a word of the server, and the agent connects again",
    "back-off": "the agent waits between attempts, longer each time, and goes on trying",
    "reconnect-1013": "after 1013 the agent connects again, as the same instance and boot",
    "expiry-offline": "an override ends at its time with the server away",
    "taken-4409": "after 4409 the agent takes another name, or waits 60 s",
    "refused-4401": "after 4401 the agent does not come back at once",
}
"""Rule -> what it asks, in the order in which they are tried."""

KEPT, BROKEN, NOT_SEEN = "kept", "broken", "not seen"


@dataclass(frozen=True)
class Verdict:
    rule: str
    verdict: str
    why: str = ""


class Report:
    """The verdicts so far; of one rule the gravest stays, and the first of those."""

    def __init__(self) -> None:
        self._found: Dict[str, Verdict] = {}

    def keep(self, rule: str) -> None:
        self._note(Verdict(rule, KEPT))

    def break_(self, rule: str, why: str) -> None:
        self._note(Verdict(rule, BROKEN, why))

    def miss(self, rule: str, why: str) -> None:
        self._note(Verdict(rule, NOT_SEEN, why))

    def judge(self, rule: str, holds: object, why: str) -> bool:
        if holds:
            self.keep(rule)
        else:
            self.break_(rule, why)
        return bool(holds)

    def verdicts(self, only: Optional[List[str]] = None) -> List[Verdict]:
        missing = "an earlier step did not come so far"
        return [
            self._found.get(rule, Verdict(rule, NOT_SEEN, missing))
            for rule in RULES
            if not only or rule in only
        ]

    def _note(self, verdict: Verdict) -> None:
        grave = (NOT_SEEN, KEPT, BROKEN)
        held = self._found.get(verdict.rule)
        if held is None or grave.index(held.verdict) < grave.index(verdict.verdict):
            self._found[verdict.rule] = verdict


def as_text(verdicts: List[Verdict]) -> str:
    marks = {KEPT: "ok      ", BROKEN: "BROKEN  ", NOT_SEEN: "not seen"}
    lines = []
    for found in verdicts:
        lines.append(f"{marks[found.verdict]}  {found.rule}: {RULES[found.rule]}")
        if found.why:
            lines.append(f"          {found.why}")
    counts = _counts(verdicts)
    lines.append("")
    lines.append(", ".join(f"{count} {name}" for name, count in counts.items() if count) + ".")
    return "\n".join(lines)


def as_json(verdicts: List[Verdict]) -> Dict[str, Any]:
    return {
        "protocol": 1,
        "rules": [
            {"rule": v.rule, "asks": RULES[v.rule], "verdict": v.verdict, "why": v.why}
            for v in verdicts
        ],
        "counts": _counts(verdicts),
    }


def _counts(verdicts: List[Verdict]) -> Dict[str, int]:
    return {
        name: sum(found.verdict == name for found in verdicts) for name in (KEPT, BROKEN, NOT_SEEN)
    }
