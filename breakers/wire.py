"""Everything that crosses a border, as frozen structs: decoded once, never re-checked inside."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from breakers.authors import author_words
from breakers.states import Origin, State

NAME_MAX = 200
DETAIL_MAX = 2000
HELLO_MAX = 1000
"""Breakers in a hello."""
SEQ_MAX = 2**53 - 1
RATES_COUNT_FOR_S = 120
"""How long a rate says what is so after it was reported, on boards and in rules: agents report every few seconds, and
one that says nothing any more has no rate."""

Name = Annotated[str, Meta(min_length=1, max_length=NAME_MAX)]
Target = Annotated[str, Meta(max_length=NAME_MAX)]
Seq = Annotated[int, Meta(ge=0, le=SEQ_MAX)]
Count = Annotated[int, Meta(ge=0, le=SEQ_MAX)]
Percent = Annotated[float, Meta(ge=0, le=100)]
Positive = Annotated[float, Meta(ge=0.001, le=1e9)]
Milliseconds = Annotated[float, Meta(ge=0, le=1e12)]
Time = Annotated[datetime, Meta(tz=True)]
Labels = Annotated[
    dict[Annotated[str, Meta(min_length=1, max_length=64)], Annotated[str, Meta(max_length=200)]],
    Meta(max_length=16),
]
Reported = Literal["closed", "open", "half_open", "forced_open", "forced_closed"]
"""The states that may be said of oneself: all but `unknown`."""
Cause = Literal["automatic", "manual", "override", "shared", "unknown"]


class Metrics(Struct, frozen=True, omit_defaults=True, gc=False):
    """Counts over `window` seconds, rates in percent, latencies in milliseconds; null is unknown."""

    calls: Count | None = None
    failed: Count | None = None
    slow: Count | None = None
    not_permitted: Count | None = None
    failure_rate: Percent | None = None
    slow_rate: Percent | None = None
    p50_ms: Milliseconds | None = None
    p95_ms: Milliseconds | None = None
    p99_ms: Milliseconds | None = None
    window: Positive | None = None


class EventBody(Struct, frozen=True, rename={"from_": "from"}, gc=False):
    """What an agent says of an event; who it is, is said by its `hello`."""

    breaker: Name
    type: Literal["state_change", "snapshot", "note"] = "state_change"
    to: Reported | None = None
    from_: Literal[Reported, "unknown"] | None = None
    id: Name | None = None
    occurred_at: Time | None = None
    seq: Seq | None = None
    cause: Cause = "unknown"
    reason: Annotated[str, Meta(max_length=64)] | None = None
    detail: str | None = None
    target: Target | None = None
    library: Target | None = None
    labels: Labels | None = None
    natural_state: Reported | None = None
    metrics: Metrics | None = None
    probe_due_at: Time | None = None
    """While open: when the next call is let through as a probe. In the past, it waits for that call."""


class EventIn(EventBody, frozen=True, kw_only=True, gc=False):
    """One event of `POST /api/v1/events`."""

    service: Name
    environment: Name | None = None
    instance: Name = "default"
    boot: Name | None = None


class Happened(Struct, frozen=True, kw_only=True, gc=False):
    """An event that was understood and let in: named, timed, and still without the ids of its rows."""

    environment: str
    service: str
    instance: str
    breaker: str
    type: Literal["state_change", "snapshot", "note"]
    event_id: str
    named: bool
    """Whether the id is the caller's: only then can the event be a repeat."""
    timed: bool
    """Whether the time is the caller's: else a repeat is handed the time of the first."""
    occurred_at: datetime
    to: State | None = None
    from_: State | None = None
    natural_state: State | None = None
    boot: str | None = None
    seq: int | None = None
    cause: Cause = "unknown"
    reason: str | None = None
    detail: str | None = None
    target: str | None = None
    library: str | None = None
    labels: dict[str, str] | None = None
    metrics: Metrics | None = None
    probe_due_at: datetime | None = None
    origin: Origin = Origin.AGENT


class BreakerHello(Struct, frozen=True):
    """A breaker as an agent presents it."""

    breaker: Name
    state: Reported
    natural_state: Reported | None = None
    target: Target | None = None
    library: Target | None = None
    since: Time | None = None
    probe_due_at: Time | None = None
    seq: Seq | None = None
    applied_revision: Seq | None = None
    config: dict[str, Any] = {}


class AgentName(Struct, frozen=True):
    """The program that speaks the protocol."""

    name: Annotated[str, Meta(max_length=NAME_MAX)] = ""
    version: Annotated[str, Meta(max_length=NAME_MAX)] = ""


class Hello(Struct, frozen=True, tag="hello"):
    """The first frame of an agent, and again whenever its set of breakers changes."""

    service: Name
    instance: Name
    boot: Name
    environment: Name | None = None
    agent: AgentName = AgentName()
    labels: Labels = {}
    breakers: Annotated[list[BreakerHello], Meta(max_length=HELLO_MAX)] = []
    protocol: int = 1
    sent_at: Time | None = None
    """By the agent's clock."""
    connection: Seq | None = None
    """Which of its boot's connections this is, by the agent's own count: a lower one has been left."""


class Goodbye(Struct, frozen=True, tag="goodbye"):
    """The process ends on purpose: its instance is retired at once."""


class Events(Struct, frozen=True, tag="events"):
    """A batch that is answered with an ack of the same number once it is committed."""

    batch: Annotated[int, Meta(ge=0, le=SEQ_MAX)]
    events: Annotated[list[msgspec.Raw], Meta(max_length=1000)]


class Applied(Struct, frozen=True, tag="applied"):
    """What became of a revision in this instance."""

    breaker: Name
    revision: Seq
    ok: bool
    state: Reported | None = None
    natural_state: Reported | None = None
    error: str | None = None


class Ping(Struct, frozen=True, tag="ping"):
    """A sign of life, answered by a pong; `sent_at` is by the agent's clock."""

    sent_at: Time | None = None


AgentFrame = Hello | Goodbye | Events | Applied | Ping


class DesiredCommand(Struct, frozen=True):
    """A one-shot; `expires_in` is what remains of its time, in seconds, at sending."""

    id: str
    command: Literal["trip", "reset"]
    expires_in: float


class Desired(Struct, frozen=True, tag="desired", kw_only=True):
    """What one breaker of one instance should be. `expires_in` in seconds from receipt; null: no end."""

    breaker: str
    revision: int
    mode: Literal["forced_open", "forced_closed"] | None
    reason: str | None
    expires_in: float | None
    command: DesiredCommand | None


class HelloWarning(Struct, frozen=True, kw_only=True):
    """What is not believed of a hello that was taken otherwise, by breaker: `code` says to machines what."""

    breaker: str
    code: Literal["revision_unknown"]
    msg: str


class Welcome(Struct, frozen=True, tag="welcome", kw_only=True, omit_defaults=True):
    """The answer to each hello: how often to ping, in seconds, and what is wished of its breakers, whole."""

    heartbeat: float
    desired: list[Desired]
    warnings: list[HelloWarning] = []


class WrongField(Struct, frozen=True):
    """One thing that is wrong: where, and what."""

    loc: list[str | int]
    msg: str


class RejectedEvent(Struct, frozen=True):
    """An event of a batch that is not accepted as it is, ever; `index` counts from 0."""

    index: int
    errors: list[WrongField]


class Ack(Struct, frozen=True, tag="ack", kw_only=True):
    """What became of the batch of this number: but for the rejected, it is committed."""

    batch: int
    accepted: int
    duplicates: int
    rejected: list[RejectedEvent]


class Pong(Struct, frozen=True, tag="pong"):
    """The answer to a ping; in a long wait the server sends some by itself."""


ServerFrame = Welcome | Ack | Desired | Pong


class OverrideSummary(Struct, frozen=True, kw_only=True):
    """The standing override of a breaker, and how far it has got among the live instances."""

    mode: Literal["forced_open", "forced_closed"]
    reason: str
    by: str
    by_kind: Literal["person", "key", "policy"] = "person"
    expires_at: datetime | None
    instances: list[str] | None
    applied: int
    pending: int
    refused: int = 0
    """Of the pending: instances that reported why they could not."""
    unreachable: int = 0
    """Of the pending: instances known by events alone, which never hear of it."""
    not_known: int = 0
    """Of the names in `instances`: those that no instance of the breaker bears, but for retired ones."""
    since: datetime | None = None

    @property
    def author(self) -> str:
        """ "ana", "policy checkout"."""
        return author_words(self.by_kind, self.by)


class Summary(Struct, frozen=True, kw_only=True):
    """A breaker in one line, as the API, the live socket, the pages and the webhooks show it."""

    id: str
    environment: str
    service: str
    breaker: str
    target: str | None
    state: str
    states: dict[str, int]
    instances: int
    agents: int
    """Live instances that an agent speaks for; the other live ones are known by events alone."""
    not_connected: int = 0
    """Of the agents: not heard any more, and not lost yet."""
    untold: int = 0
    """Live instances that have told metrics, say, and no state yet: unknown, and not lost."""
    since: datetime | None
    not_closed_since: datetime | None
    """The beginning of the outage, its probes included: since when some live instance is not closed."""
    probe_due_at: datetime | None
    """When the first of the open instances lets a call through as a probe; in the past, it waits for that call."""
    naturally_open: int
    """Live instances that an override holds and whose library would be open: what rules judge."""
    still_forced: int = 0
    """Live instances with an agent that are forced though no override concerns them: they have not heard of its end."""
    failure_rate: float | None
    rate_of: Literal["trials", "before"] | None
    """Of what calls the rate is, if not of those of now: trial calls in an outage, or those before it closed."""
    calls_per_second: float | None
    override: OverrideSummary | None
    revision: int
    updated_at: datetime


def told_time(at: datetime | None) -> str | None:
    """A time as JSON has it everywhere: RFC 3339 in UTC."""
    return None if at is None else at.astimezone(UTC).isoformat().replace("+00:00", "Z")
