"""The play in scenes: each brings something about by the protocol's own means, and judges what the agent does."""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from panelboard_client.conformance.cast import (
    QUIET_S,
    Absent,
    Cast,
    events_of,
    inside,
    same,
    short,
    wish,
)
from panelboard_client.conformance.stage import PATH, Call

NOT_AT_ONCE_S = 5.0
AWAY_S = 1.0
ATTEMPTS_MOST = 12
"""In the second and a half that the panel is away: with full jitter, so many come once in a million runs."""
LONG = 3600.0


class Scene(NamedTuple):
    rules: Tuple[str, ...]
    play: Callable[[Cast], None]


def meeting(cast: Cast) -> None:
    stage, report = cast.stage, cast.report
    call = cast.enter(cast.patience_s)
    report.judge("key", call.path == PATH, f"the agent asked for {call.path}, not {PATH}")
    report.judge(
        "key",
        call.authorization == f"Bearer {stage.key}",
        f"the header was {call.authorization!r:.60}",
    )
    first = stage.calls[0]
    report.judge(
        "hello-first",
        bool(first.frames) and first.frames[0].get("type") == "hello",
        f"the first frame was of type {first.frames[0].get('type') if first.frames else None!r}",
    )


def heartbeat(cast: Cast) -> None:
    call = cast.enter(cast.patience_s)
    due = cast.stage.heartbeat_s
    pings = cast.stage.wait(lambda: len(call.of_type("ping")) >= 2, 3 * due + 1)
    cast.report.judge("ping", pings, f"fewer than 2 pings within {3 * due + 1:g} s")


def overrides(cast: Cast) -> None:
    report = cast.report
    call = cast.enter(cast.patience_s)
    revision = cast.stage.order(cast.breaker, "forced_open", skip=0, expires_in=LONG)
    answer = cast.answer(revision)
    if answer is None:
        report.break_("applied", "an override was not answered")
        raise Absent("overrides are not answered")
    if not answer.get("ok"):
        report.miss("applied", f"the agent refused forced_open: {answer.get('error')}")
        raise Absent("the agent cannot force a breaker open")
    if not report.judge(
        "applied",
        answer.get("state") == "forced_open",
        f"answered ok with the state {answer.get('state')!r}, not forced_open",
    ):
        raise Absent("overrides are not put into effect")

    cast.stage.wait(lambda: cast.changes(to="forced_open"), QUIET_S)
    so_far, changed = cast.answers(), len(cast.changes())
    call.send(wish(cast.breaker, revision, "forced_open", expires_in=LONG))
    again = cast.next_answer(so_far)
    report.judge(
        "repeat",
        again is not None
        and (again.get("revision"), again.get("state")) == (revision, "forced_open"),
        f"the answer to the same revision again was {short(again)}",
    )
    report.judge("repeat", cast.is_still(changed), "the same revision again changed the state")

    so_far = cast.answers()
    call.send(wish(cast.breaker, revision - 1, None))
    older = cast.next_answer(so_far)
    report.judge(
        "older-revision",
        older is not None and older.get("revision") == revision,
        f"the answer to revision {revision - 1} after {revision} was {short(older)}",
    )
    report.judge(
        "older-revision",
        (older is None or older.get("state") == "forced_open") and cast.is_still(changed),
        "the older revision ended the override",
    )

    ended = cast.release()
    report.judge(
        "null-confirmed",
        ended is not None and ended.get("ok") and ended.get("state") != "forced_open",
        f"the answer to a revision without a mode was {short(ended)}",
    )
    gap = cast.answer(cast.stage.order(cast.breaker, "forced_open", skip=40, expires_in=LONG))
    report.judge("revision-gap", gap is not None and gap.get("ok"), f"the answer was {short(gap)}")
    cast.release()


def tolerance(cast: Cast) -> None:
    stage, report = cast.stage, cast.report
    call = cast.enter(cast.patience_s)
    revision = stage.order(
        cast.breaker, "forced_open", expires_in=LONG, from_the_future={"a": [1]}, priority=7
    )
    answer = cast.answer(revision)
    report.judge(
        "unknown-fields",
        answer is not None and answer.get("ok"),
        f"the answer to a frame with unknown fields was {short(answer)}",
    )
    stage.wait(lambda: cast.changes(to="forced_open"), QUIET_S)
    so_far, changed = cast.answers(), len(cast.changes())
    revision = stage.order(cast.breaker, "ajar", expires_in=LONG)
    refused = cast.next_answer(so_far)
    report.judge(
        "unknown-mode",
        refused is not None and refused.get("revision") == revision and refused.get("ok") is False,
        f"the answer to the mode “ajar” was {short(refused)}",
    )
    report.judge("unknown-mode", cast.is_still(changed), "what stood before ended")

    call.send({"type": "from-the-future", "breaker": cast.breaker, "revision": 1})
    report.judge("unknown-frames", _still_there(cast, call), "the connection ended, or went deaf")
    stranger = f"{cast.breaker[:150]}-that-is-not-there"
    call.send(wish(stranger, 1, "forced_open"))
    there = _still_there(cast, call)
    report.judge("unknown-breaker", there, "the connection ended, or went deaf")
    confirmed = [
        frame
        for frame in call.of_type("applied")
        if frame.get("breaker") == stranger and frame.get("ok")
    ]
    report.judge("unknown-breaker", not confirmed, "the agent confirmed it")


def _still_there(cast: Cast, call: Call) -> bool:
    revision = cast.stage.order(cast.breaker, None)
    return cast.answer(revision, call) is not None


def expiry(cast: Cast) -> None:
    cast.enter(cast.patience_s)
    began = len(cast.changes())
    cast.force(expires_in=AWAY_S)
    forced_at = time.monotonic()

    def ended() -> bool:
        later = cast.changes()[began:]
        return bool(later) and later[-1].get("to") != "forced_open"

    cast.report.judge(
        "expiry",
        cast.stage.wait(ended, AWAY_S + cast.patience_s),
        f"no state change told of its end within {AWAY_S + cast.patience_s:g} s",
    )
    cast.report.judge(
        "expiry",
        time.monotonic() - forced_at > AWAY_S / 2,
        "the override ended before its time",
    )
    cast.release()


def commands(cast: Cast) -> None:
    stage, report = cast.stage, cast.report
    cast.enter(cast.patience_s)
    changed = len(cast.changes())
    late = {"id": "conformance-late", "command": "trip", "expires_in": 0}
    cast.answer(stage.order(cast.breaker, None, command=late))
    report.judge("command-late", cast.is_still(changed), "it ran all the same")

    trip = {"id": "conformance-trip", "command": "trip", "expires_in": 60}
    answer = cast.answer(stage.order(cast.breaker, None, command=trip))
    if answer is None:
        report.break_("command", "a command was not answered")
        return
    if not answer.get("ok"):
        report.miss("command", f"the agent refused trip: {answer.get('error')}")
        return
    told = stage.wait(lambda: cast.changes(to="open"), cast.patience_s)
    report.judge(
        "command",
        answer.get("state") == "open" and told,
        f"the answer to trip was {short(answer)}, and {'an' if told else 'no'} event told of it",
    )
    reset = {"id": "conformance-reset", "command": "reset", "expires_in": 60}
    answer = cast.answer(stage.order(cast.breaker, None, command=reset))
    report.judge(
        "command",
        answer is not None and (not answer.get("ok") or answer.get("state") == "closed"),
        f"the answer to reset was {short(answer)}",
    )
    opened = len(cast.changes(to="open"))
    again = cast.answer(stage.order(cast.breaker, None, command=trip))
    report.judge(
        "command-once",
        again is not None and again.get("state") != "open",
        f"the answer to the same command in a later revision was {short(again)}",
    )
    ran_again = stage.wait(lambda: len(cast.changes(to="open")) > opened, QUIET_S)
    report.judge("command-once", not ran_again, "the command ran twice")


def reconnecting(cast: Cast) -> None:
    """A restart of the server, with an override standing and events that it did not acknowledge."""
    stage, report = cast.stage, cast.report
    call = cast.enter(cast.patience_s)
    stage.acks = False
    began = len(stage.events())
    revision, _ = cast.force(expires_in=LONG)
    if not stage.wait(lambda: len(stage.events()) > began, cast.patience_s):
        report.miss("resend", "the agent sent no event of an override, so none could be lost")
    unacked = [event for event in stage.events()[began:] if event.get("id")]
    seen = len(stage.calls)
    stage.acks = True
    stage.close(1012)
    back = stage.next_call(seen, cast.back_within_s)
    if not report.judge(
        "reconnect-1012", back, f"it did not come back within {cast.back_within_s:g} s"
    ):
        raise Absent("the agent did not come back after 1012")
    assert back is not None
    same(cast, "reconnect-1012", call, back)
    presented = inside(back, cast.breaker)
    report.judge(
        "standing",
        presented.get("state") == "forced_open" and presented.get("applied_revision") == revision,
        f"the hello said state {presented.get('state')!r}, applied_revision "
        f"{presented.get('applied_revision')!r}; revision {revision} stood",
    )
    if unacked:
        first = unacked[0]
        again = stage.wait(
            lambda: [e for e in events_of(back) if e.get("id") == first["id"]], cast.patience_s
        )
        report.judge("resend", again, f"event {first['id']!r} did not come again")
        if again:
            same_time = again[0].get("occurred_at") == first.get("occurred_at")
            report.judge("resend", same_time, f"event {first['id']!r} came again with another time")
    cast.release()


def forgetting(cast: Cast) -> None:
    """A panel that never wished what the agent has applied."""
    stage, report = cast.stage, cast.report
    cast.enter(cast.back_within_s)
    cast.force(skip=100, expires_in=LONG)
    seen = len(stage.calls)
    revision = stage.begin_anew(cast.breaker, "forced_closed", LONG)
    stage.close(1012)
    back = stage.next_call(seen, cast.back_within_s)
    if back is None:
        stage.go_on()
        raise Absent("the agent did not come back after 1012")
    answer = cast.answer(revision, back)
    stage.go_on()
    report.judge(
        "revision-forgotten",
        answer is not None and answer.get("ok") and answer.get("state") == "forced_closed",
        f"the answer to revision {revision}, after a warning, was {short(answer)}",
    )
    cast.release()


def silence(cast: Cast) -> None:
    stage = cast.stage
    call = cast.enter(cast.back_within_s)
    stage.pongs = False
    seen = len(stage.calls)
    within_s = 3 * stage.heartbeat_s + cast.back_within_s
    back = stage.next_call(seen, within_s)
    stage.pongs = True
    cast.report.judge("silence", back, f"it did not connect again within {within_s:g} s")
    if back is not None:
        same(cast, "silence", call, back)


def back_off(cast: Cast) -> None:
    """The server is overloaded for a while, and an override's time is over meanwhile."""
    stage, report = cast.stage, cast.report
    call = cast.enter(cast.back_within_s)
    forced = True
    try:
        cast.force(expires_in=AWAY_S)
    except Absent as why:
        report.miss("expiry-offline", str(why))
        forced = False
    settled = {event["id"] for event in stage.events() if event.get("id")}
    seen = len(stage.calls)
    stage.doors = [1013, 1013]
    stage.away_until = time.monotonic() + AWAY_S + QUIET_S
    stage.close(1013)
    tried = stage.wait(lambda: not stage.doors, 2 * cast.back_within_s)
    back = stage.next_call(seen, cast.back_within_s) if tried else None
    if not report.judge("back-off", back, "it gave up after being turned away"):
        report.break_("reconnect-1013", f"it did not come back within {cast.back_within_s:g} s")
        raise Absent("the agent did not come back after 1013")
    assert back is not None
    attempts = [call for call in stage.calls[seen:] if call.turned_away]
    took_s = back.came_at - attempts[0].came_at
    report.judge(
        "back-off",
        len(attempts) <= ATTEMPTS_MOST,
        f"{len(attempts)} attempts within {took_s:.1f} s",
    )
    report.keep("reconnect-1013")
    same(cast, "reconnect-1013", call, back)
    again = stage.wait(
        lambda: [e["id"] for e in events_of(back) if e.get("id") in settled], QUIET_S
    )
    report.judge("acked-once", not again, f"{again} came again after the ack")
    if forced:
        state = inside(back, cast.breaker).get("state")
        report.judge("expiry-offline", state != "forced_open", "the hello said forced_open")
        cast.release()


def taken(cast: Cast) -> None:
    stage = cast.stage
    call = cast.enter(cast.back_within_s)
    assert call.hello is not None
    seen = len(stage.calls)
    closed_at = time.monotonic()
    stage.close(4409)
    back = stage.next_call(seen, 60 + cast.back_within_s)
    if back is None or back.hello is None:
        cast.report.miss("taken-4409", "the agent did not come back; that may be its choice")
        return
    renamed = back.hello.get("instance") != call.hello.get("instance")
    cast.report.judge(
        "taken-4409",
        renamed or back.came_at - closed_at >= 59,
        f"it came back as {back.hello.get('instance')!r} after {back.came_at - closed_at:.1f} s",
    )


def refused(cast: Cast) -> None:
    stage = cast.stage
    cast.enter(cast.back_within_s)
    seen = len(stage.calls)
    stage.doors = [4401] * 100
    stage.close(4401)
    came = stage.wait(lambda: len(stage.calls) > seen, NOT_AT_ONCE_S)
    cast.report.judge("refused-4401", not came, f"it came back within {NOT_AT_ONCE_S:g} s")


def hello_again(cast: Cast) -> None:
    """Of all hellos that were said in the play."""
    cast.stage.wait(lambda: any(len(c.of_type("hello")) > 1 for c in cast.stage.calls), QUIET_S)
    for call in list(cast.stage.calls):
        said = [(f.get("service"), f.get("instance"), f.get("boot")) for f in call.of_type("hello")]
        if len(said) > 1:
            cast.report.judge("hello-again", len(set(said)) == 1, f"hellos were of {said}")
    cast.report.miss("hello-again", "no connection had a second hello")


def connection_grows(cast: Cast) -> None:
    """In all hellos that were said in the play."""
    report = cast.report
    report.miss(
        "connection-grows", "no two connections of one boot had a number, which may be left out"
    )
    newest: Dict[Any, int] = {}
    for call in list(cast.stage.calls):
        numbers = {(f.get("boot"), f.get("connection")) for f in call.of_type("hello")}
        for boot, number in numbers:
            if number is None:
                continue
            if boot in newest:
                why = f"connection {number} came after {newest[boot]}"
                report.judge("connection-grows", number > newest[boot], why)
            newest[boot] = number


def event_ids(cast: Cast) -> None:
    """Of all events that were sent in the play."""
    report = cast.report
    events = cast.stage.events()
    if not events:
        report.miss("event-ids", "the agent sent no events")
        return
    report.keep("event-ids")
    times: Dict[Any, Any] = {}
    newest: Dict[Any, int] = {}
    for event in events:
        id, at, seq = event.get("id"), event.get("occurred_at"), event.get("seq")
        if id is None or at is None:
            report.break_("event-ids", "an event has no id, or no time: its repeat is not harmless")
        elif id in times:
            report.judge("event-ids", times[id] == at, f"two events have the id {id!r}")
        elif seq is not None:
            before = newest.setdefault(event.get("breaker"), -1)
            report.judge("event-ids", seq > before, f"seq {seq} came after {before}")
            newest[event.get("breaker")] = max(seq, before)
        times[id] = at


SCENES = (
    Scene(("key", "hello-first", "hello-again"), meeting),
    Scene(("ping",), heartbeat),
    Scene(("applied", "null-confirmed", "repeat", "older-revision", "revision-gap"), overrides),
    Scene(("unknown-fields", "unknown-frames", "unknown-breaker", "unknown-mode"), tolerance),
    Scene(("expiry",), expiry),
    Scene(("command", "command-once", "command-late", "event-ids"), commands),
    Scene(("reconnect-1012", "standing", "resend", "connection-grows"), reconnecting),
    Scene(("revision-forgotten",), forgetting),
    Scene(("silence",), silence),
    Scene(("back-off", "reconnect-1013", "expiry-offline", "acked-once"), back_off),
    Scene(("taken-4409",), taken),
    Scene(("refused-4401",), refused),
)
"""What needs a connection comes first, for an agent waits longer after each disconnect."""


def play(cast: Cast, *, only: Optional[List[str]]) -> None:
    """All scenes, or those in which one of `only` is judged."""
    for scene in SCENES:
        if only and not set(only) & set(scene.rules):
            continue
        try:
            scene.play(cast)
        except Absent as why:
            for rule in scene.rules:
                cast.report.miss(rule, str(why))
    hello_again(cast)
    connection_grows(cast)
    event_ids(cast)
