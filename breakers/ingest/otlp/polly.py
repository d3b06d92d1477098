"""What Polly v8 tells through its meter: how often its breakers turned, and how its pipelines fared. Pure.

Its counters say how often, not when nor to what, so the state after an export follows from the state before
it and the numbers in between. https://www.pollydocs.org/advanced/telemetry.html
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from breakers.ingest.otlp.messages import (
    HistogramPoint,
    Identity,
    Metric,
    MetricsRequest,
    NumberPoint,
    Plain,
    Scope,
    attributes_of,
    is_delta,
)

METER = "Polly"
EVENTS = "resilience.polly.strategy.events"
DURATION = "resilience.polly.pipeline.duration"
TURNS = {
    "OnCircuitOpened": "open",
    "OnCircuitHalfOpened": "half_open",
    "OnCircuitClosed": "closed",
}
_NOT_PERMITTED = (
    "Polly.CircuitBreaker.BrokenCircuitException",
    "Polly.CircuitBreaker.IsolatedCircuitException",
)


class Pipeline(NamedTuple):
    """A resilience pipeline in one instance."""

    identity: Identity
    name: str
    instance: str

    def breaker(self, strategy: str) -> str:
        """What a breaker in it is called: as Polly's logs call it, without what is only a default."""
        parts = (self.name, self.instance, "" if strategy == "CircuitBreaker" else strategy)
        return "/".join(part for part in parts if part) or strategy


@dataclass
class Collected:
    """What one collection of one metric says of a pipeline; nanoseconds since 1970."""

    at_ns: int
    start_ns: int
    delta: bool
    library: str


@dataclass
class Turned(Collected):
    """How often each breaker (by strategy) turned to each state; where an enricher adds the tag `IsManual`,
    also how often by hand (`manual`), by itself (`automatic`), and by hand to open (`isolated`)."""

    turns: dict[str, Counter[str]] = field(default_factory=dict)


@dataclass
class Fared(Collected):
    """Its calls, and how long they took; `buckets` count up to each of `bounds` (ms), and beyond the last."""

    counts: Counter[str] = field(default_factory=Counter)
    bounds: Sequence[float] = ()
    buckets: list[int] = field(default_factory=list)


@dataclass
class Gathered:
    """All that a request says of Polly, each pipeline's in the order of time."""

    turned: dict[Pipeline, list[Turned]] = field(default_factory=dict)
    fared: dict[Pipeline, list[Fared]] = field(default_factory=dict)
    ignored: int = 0
    unnamed: int = 0
    """Points of a resource without `service.name`."""

    @property
    def pipelines(self) -> set[Pipeline]:
        return self.turned.keys() | self.fared.keys()


def gather(request: MetricsRequest, *, default_environment: str) -> Gathered:
    """Sorts the points of a request; what is not a breaker's is only counted."""
    found = Gathered()
    turned: dict[tuple[Pipeline, int], Turned] = {}
    fared: dict[tuple[Pipeline, int], Fared] = {}
    for group in request.resource_metrics:
        identity = Identity.of(group.resource, default_environment)
        for part in group.scope_metrics:
            for metric in part.metrics:
                if part.scope.name != METER or metric.name not in (EVENTS, DURATION):
                    found.ignored += _size(metric)
                elif identity.service is None:
                    found.unnamed += _size(metric)
                elif metric.name == EVENTS:
                    delta = is_delta(metric.sum.aggregation_temporality)
                    for point in metric.sum.data_points:
                        said = attributes_of(point.attributes)
                        if said.get("event.name") in TURNS:
                            _add_turn(turned, identity, point, said, delta, part.scope)
                        else:
                            found.ignored += 1
                else:
                    delta = is_delta(metric.histogram.aggregation_temporality)
                    for bar in metric.histogram.data_points:
                        said = attributes_of(bar.attributes)
                        _add_calls(fared, identity, bar, said, delta, part.scope)
    for (pipeline, _), one in sorted(turned.items(), key=lambda item: item[0][1]):
        found.turned.setdefault(pipeline, []).append(one)
    for (pipeline, _), two in sorted(fared.items(), key=lambda item: item[0][1]):
        found.fared.setdefault(pipeline, []).append(two)
    return found


def _size(metric: Metric) -> int:
    return (
        len(metric.sum.data_points)
        + len(metric.histogram.data_points)
        + len(metric.gauge.data_points)
        + len(metric.exponential_histogram.data_points)
        + len(metric.summary.data_points)
    )


def _pipeline(identity: Identity, said: dict[str, Plain]) -> Pipeline:
    name, instance = (str(said.get(f"pipeline.{key}") or "") for key in ("name", "instance"))
    return Pipeline(identity, name, instance)


def _library(scope: Scope) -> str:
    return f"Polly {scope.version}".strip()


def _add_turn(
    turned: dict[tuple[Pipeline, int], Turned],
    identity: Identity,
    point: NumberPoint,
    said: dict[str, Plain],
    delta: bool,
    scope: Scope,
) -> None:
    key = _pipeline(identity, said), point.time_unix_nano
    start = point.start_time_unix_nano
    if key not in turned:
        turned[key] = Turned(point.time_unix_nano, start, delta, _library(scope))
    one = turned[key]
    one.start_ns = min(one.start_ns, start)
    strategy = str(said.get("strategy.name") or "CircuitBreaker")
    state = TURNS[str(said["event.name"])]
    # Beyond 2**53 a double counts no longer by one; infinities and NaN count nothing.
    number = point.as_int or (int(point.as_double) if 0 < point.as_double < 2**53 else 0)
    if not 0 <= number < 2**53:
        return
    turns = one.turns.setdefault(strategy, Counter())
    turns[state] += number
    manual = str(said.get("IsManual", "")).lower()
    if manual == "true":
        turns["manual"] += number
        turns["isolated"] += number if state == "open" else 0
    elif manual == "false":
        turns["automatic"] += number


def _add_calls(
    fared: dict[tuple[Pipeline, int], Fared],
    identity: Identity,
    point: HistogramPoint,
    said: dict[str, Plain],
    delta: bool,
    scope: Scope,
) -> None:
    key = _pipeline(identity, said), point.time_unix_nano
    start = point.start_time_unix_nano
    if key not in fared:
        bounds = tuple(point.explicit_bounds)
        fared[key] = Fared(point.time_unix_nano, start, delta, _library(scope), bounds=bounds)
    one = fared[key]
    one.start_ns = min(one.start_ns, start)
    if not 0 <= point.count < 2**53:
        return
    exception = said.get("exception.type")
    one.counts["calls"] += point.count
    if exception in _NOT_PERMITTED:
        one.counts["not_permitted"] += point.count
        return
    if exception:
        one.counts["failed"] += point.count
    counts = [max(0, count) for count in point.bucket_counts]
    if tuple(point.explicit_bounds) == tuple(one.bounds) and len(counts) == len(one.bounds) + 1:
        one.buckets = [a + b for a, b in zip(one.buckets or [0] * len(counts), counts, strict=True)]


def path(before: str, turns: Counter[str]) -> list[str]:
    """The states to tell for the turns since `before`: the last is the one it is in, and no state that it
    was in goes missing, though one that it was in twice is told once.

    Each turn leaves one state for another, so entries and exits balance. Closes follow probes, those beyond
    were by hand and left `open`. What stays open to doubt is a probe in flight after a close in the same
    export: that is told as closed, until its outcome comes with the next.
    """
    opened, probed, closed = turns["open"], turns["half_open"], turns["closed"]
    if not (opened or probed or closed):
        return []
    was_open = before in ("open", "forced_open")
    released = max(0, closed - probed - (before == "half_open"))
    if was_open + opened - probed - released > 0:
        last = "open"
    else:
        last = "closed" if closed else "half_open"
    cycle = ("open", "half_open", "closed")
    at = cycle.index(last)
    told = [state for state in cycle[at + 1 :] + cycle[:at] if turns[state]]
    return [*told, last]


def quantiles(
    bounds: Sequence[float], buckets: Sequence[int], shares: Iterable[float]
) -> list[float | None]:
    """The values (ms) below which these shares of the calls stay, evenly spread within a bucket."""
    total = sum(buckets)
    found: list[float | None] = []
    for share in shares:
        if not total or not bounds:
            found.append(None)
            continue
        left = share * total
        at = 0
        while at < len(bounds) and left > buckets[at]:
            left -= buckets[at]
            at += 1
        if at == len(bounds):
            found.append(bounds[-1])  # beyond the last bound: no less than that
        else:
            low = bounds[at - 1] if at else 0.0
            found.append(low + (bounds[at] - low) * (left / buckets[at] if buckets[at] else 0))
    return found
