"""An event that comes by itself is read in a shorter way than those of an array: nothing else comes of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakers.access import Actor
from breakers.ingest.formats import NotUnderstood, formats
from breakers.ingest.sort import Sorting, sort, sort_one
from breakers.models import Scope
from breakers.wire import Happened

NOW = datetime.now(UTC)
ANYONE = Actor(kind="key", id=1, name="k", can=frozenset({Scope.INGEST}))
OF_ORDERS = Actor(
    kind="key",
    id=2,
    name="k",
    can=frozenset({Scope.INGEST}),
    environments=frozenset({"prod"}),
    services=frozenset({"orders"}),
)
LEAST = {"service": "orders", "breaker": "catalog", "to": "open"}

texts = st.one_of(
    st.sampled_from(["orders", "billing", "prod", "", "a\u0007", "\u00e9", "\ud83d", "x" * 201]),
    st.text(max_size=8),
)
times = st.sampled_from(
    [(NOW - timedelta(days=days)).isoformat() for days in (-1, 0, 6, 8)]
    + ["2026-01-01T00:00:00", "now"]
)
anything = st.one_of(st.none(), st.booleans(), st.integers(), texts, st.just({}), st.just([]))
events = st.fixed_dictionaries(
    {},
    optional={
        "service": st.one_of(st.just("orders"), texts, anything),
        "breaker": st.one_of(st.just("catalog"), texts),
        "environment": st.one_of(st.just("prod"), texts),
        "instance": texts,
        "type": st.sampled_from(["state_change", "snapshot", "note", "other"]),
        "to": st.sampled_from(["open", "closed", "half_open", "unknown", "ajar"]),
        "from": st.sampled_from(["open", "closed", "unknown", "ajar"]),
        "id": texts,
        "occurred_at": times,
        "probe_due_at": times,
        "boot": texts,
        "seq": st.one_of(st.integers(-1, 2**54), st.just(1.0)),
        "reason": texts,
        "detail": texts,
        "labels": st.dictionaries(texts, texts, max_size=3),
        "metrics": st.dictionaries(
            st.sampled_from(["calls", "failure_rate", "p50_ms", "other"]), anything, max_size=3
        ),
        "unheard_of": anything,
    },
)
bodies = st.one_of(
    events.map(lambda said: json.dumps(LEAST | said).encode()),
    events.map(lambda said: json.dumps(said, ensure_ascii=False).encode("utf-8", "surrogatepass")),
    events.map(lambda said: b" \n" + json.dumps(LEAST | said, indent=1).encode() + b"\t"),
    events.map(lambda said: json.dumps([LEAST | said]).encode()),
    st.builds(
        lambda body, at, piece: body[:at] + piece + body[at:],
        events.map(lambda said: json.dumps(LEAST | said).encode()),
        st.integers(0, 60),
        st.sampled_from(
            [b"\xff", b"\x7f", b"\0", b'"', b"}", b",", b'"to":"closed",', b"[" * 2000]
        ),
    ),
)


def likeness(found: Sorting) -> Any:
    """All that is told and stored of it, but for what is made up."""
    events: Sequence[Happened] = [
        event if event.named else msgspec.structs.replace(event, event_id="")
        for event in found.events
    ]
    return found.indexes, events, dict(found.rejected), found.outside


def sorted_as_ever(body: bytes, actor: Actor) -> Any:
    try:
        items = formats()["application/json"](body, lambda _: None)
    except NotUnderstood:
        return None
    return likeness(sort(items, actor, now=NOW))


@given(bodies, st.sampled_from([ANYONE, OF_ORDERS]))
def test_nothing_else_comes_of_an_event_by_itself(body: bytes, actor: Actor) -> None:
    alone = sort_one(body, actor, now=NOW)

    if alone is not None:
        assert likeness(alone) == sorted_as_ever(body, actor)


@pytest.mark.parametrize("said", [{}, {"occurred_at": NOW.isoformat(), "metrics": {"calls": 3}}])
def test_an_ordinary_event_needs_no_second_look(said: dict[str, Any]) -> None:
    alone = sort_one(json.dumps(LEAST | said).encode(), ANYONE, now=NOW)

    assert alone is not None
    assert [event.breaker for event in alone.events] == ["catalog"]


def test_what_lies_outside_a_keys_limits_is_told_by_the_first_look() -> None:
    alone = sort_one(json.dumps(LEAST | {"service": "billing"}).encode(), OF_ORDERS, now=NOW)

    assert alone is not None
    assert alone.outside == 1
    assert list(alone.rejected) == [0]
