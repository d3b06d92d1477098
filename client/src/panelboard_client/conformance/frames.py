"""What is wrong with a frame of an agent, by the protocol's letter. Pure."""

from __future__ import annotations

import json
import re
from typing import Any, Callable, Dict, Optional, Tuple, Union

MAX_FRAME = 1 << 20
MAX_LIST = 1000
NAME_MAX = 200
SEQ_MAX = 2**53 - 1
STATES = ("closed", "open", "half_open", "forced_open", "forced_closed")
TYPES = ("state_change", "snapshot", "note")
CAUSES = ("automatic", "manual", "override", "shared", "unknown")
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
Check = Callable[[Any], bool]


def read(text: Union[str, bytes]) -> Tuple[Dict[str, Any], Optional[str]]:
    """The frame ({} if it is none), and what is wrong with it, if anything."""
    if not isinstance(text, str):
        return {}, "a binary frame: frames are text"
    if len(text.encode()) > MAX_FRAME:
        return {}, "a frame of more than 1 MiB"
    try:
        frame = json.loads(text)
    except (ValueError, RecursionError) as error:
        return {}, f"not JSON: {error}"
    if not isinstance(frame, dict):
        return {}, "not an object"
    look = _LOOKS.get(frame.get("type", ""))
    if look is None:
        return frame, f"unknown type {frame.get('type')!r}"
    return frame, look(frame)


def _name(value: Any) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= NAME_MAX and value.isprintable()


def _number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= SEQ_MAX


def _time(value: Any) -> bool:
    return isinstance(value, str) and _RFC3339.fullmatch(value) is not None


def _one_of(*values: str) -> Check:
    return lambda value: value in values


def _text(most: int) -> Check:
    return lambda value: isinstance(value, str) and len(value) <= most


def _wrong(
    frame: Dict[str, Any], what: str, needs: Dict[str, Check], may: Dict[str, Check]
) -> Optional[str]:
    for field, check in {**needs, **may}.items():
        value = frame.get(field)
        if value is None and field in needs:
            return f"{what} without {field!r}"
        if value is not None and not check(value):
            return f"{what} with a bad {field!r}: {str(value)[:80]!r}"
    return None


def _hello(frame: Dict[str, Any]) -> Optional[str]:
    wrong = _wrong(
        frame,
        "a hello",
        {"service": _name, "instance": _name, "boot": _name},
        {
            "environment": _name,
            "breakers": lambda value: isinstance(value, list) and len(value) <= MAX_LIST,
            "labels": lambda value: isinstance(value, dict) and len(value) <= 16,
            "agent": lambda value: isinstance(value, dict),
            "sent_at": _time,
            "connection": _number,
        },
    )
    if wrong is not None:
        return wrong
    breakers = frame.get("breakers") or []
    names = [each.get("breaker") if isinstance(each, dict) else None for each in breakers]
    if len(set(map(str, names))) < len(names):
        return "a hello with one breaker twice"
    for each in breakers:
        if not isinstance(each, dict):
            return "a hello with a breaker that is no object"
        wrong = _wrong(
            each,
            "a breaker of a hello",
            {"breaker": _name, "state": _one_of(*STATES)},
            {
                "natural_state": _one_of(*STATES),
                "target": _text(NAME_MAX),
                "library": _text(NAME_MAX),
                "since": _time,
                "seq": _number,
                "applied_revision": _number,
                "config": lambda value: isinstance(value, dict),
            },
        )
        if wrong is not None:
            return wrong
    return None


def _events(frame: Dict[str, Any]) -> Optional[str]:
    wrong = _wrong(
        frame,
        "events",
        {
            "batch": _number,
            "events": lambda value: isinstance(value, list) and len(value) <= MAX_LIST,
        },
        {},
    )
    if wrong is not None:
        return wrong
    for event in frame["events"]:
        if not isinstance(event, dict):
            return "an event that is no object"
        needs: Dict[str, Check] = {"breaker": _name}
        if event.get("type", "state_change") == "state_change":
            needs["to"] = _one_of(*STATES)
        wrong = _wrong(
            event,
            "an event",
            needs,
            {
                "type": _one_of(*TYPES),
                "from": _one_of("unknown", *STATES),
                "natural_state": _one_of(*STATES),
                "id": _name,
                "occurred_at": _time,
                "seq": _number,
                "cause": _one_of(*CAUSES),
                "reason": _text(64),
                "metrics": lambda value: isinstance(value, dict),
            },
        )
        if wrong is not None:
            return wrong
    return None


def _applied(frame: Dict[str, Any]) -> Optional[str]:
    needs: Dict[str, Check] = {
        "breaker": _name,
        "revision": _number,
        "ok": lambda value: isinstance(value, bool),
    }
    if frame.get("ok") is False:
        needs["error"] = lambda value: isinstance(value, str) and value != ""
    else:
        needs["state"] = _one_of(*STATES)
    return _wrong(frame, "applied", needs, {"natural_state": _one_of(*STATES)})


def _ping(frame: Dict[str, Any]) -> Optional[str]:
    return _wrong(frame, "a ping", {}, {"sent_at": _time})


_LOOKS: Dict[str, Callable[[Dict[str, Any]], Optional[str]]] = {
    "hello": _hello,
    "events": _events,
    "applied": _applied,
    "ping": _ping,
    "goodbye": lambda frame: None,
}
