"""How breakers stand and why they opened, in a line for whoever a message wakes. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from breakers.wire import Summary

_WHY_MOST = 300
_NAMED_MOST = 3
_IN_OUTAGE = ("open", "half_open")


@dataclass(frozen=True, slots=True)
class Opening:
    """The first opening of an outage: in which instance, and why, as far as anybody said.

    `by` is who tripped it by hand, with a `why` of their own; empty: nobody did.
    """

    at: datetime
    instance: str
    why: str
    by: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """What a message says beside how its breakers stand."""

    each: Mapping[str, str] = field(default_factory=dict)
    """By breaker id, a sentence."""
    together: str = ""
    """A sentence on all of them, where one can be said."""


def moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def stands(one: Summary) -> str:
    """ "open on 3 of 3 instances since 2026-03-01 03:12:07 UTC", and whose override it is under."""
    said = words(one.state)
    if one.instances:
        said += f" on {one.states.get(one.state, 0)} of {_instances(one.instances)}"
    since = one.not_closed_since if one.state in _IN_OUTAGE else one.since
    if since is not None:
        said += f" since {moment(since)}"
    if one.override is not None:
        if one.state != one.override.mode:
            said += f", to be {words(one.override.mode)}"
        said += f" by {one.override.author} (“{cut(one.override.reason)}”)"
        until = one.override.expires_at
        said += f" until {moment(until)}" if until else ", without an end"
    if one.naturally_open:
        said += f"; would be open on {one.naturally_open} of {_instances(one.instances)}"
    return said


def reach(breakers: Sequence[Summary]) -> str:
    """ "open on 2 of 3 instances", of all of these together; empty where none is open, or there is but one."""
    opened = sum(one.states.get("open", 0) for one in breakers)
    of = sum(one.instances for one in breakers)
    return f"open on {opened} of {_instances(of)}" if opened and of > 1 else ""


def began(opening: Opening) -> str:
    """ "First on orders-1: 3 failures in a row", or by whose hand."""
    if opening.by:
        return f"Tripped by hand by {opening.by}: “{cut(opening.why)}”"
    return f"First on {opening.instance}" + (f": {cut(opening.why)}" if opening.why else "")


def some(said: Sequence[str]) -> str:
    """The first few; "a; b; c; and 3 more"."""
    more = len(said) - _NAMED_MOST
    return "; ".join([*said[:_NAMED_MOST], *([f"and {more} more"] if more > 0 else [])])


def words(state: str) -> str:
    """A state as people say it."""
    return state.replace("_", " ")


def _instances(count: int) -> str:
    return "1 instance" if count == 1 else f"{count} instances"


def cut(text: str, most: int = _WHY_MOST) -> str:
    """In one line, of so many characters."""
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[: most - 1]}…"
