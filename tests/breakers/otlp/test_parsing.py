from __future__ import annotations

import contextlib
import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from breakers.ingest.otlp import logs, polly
from breakers.ingest.otlp.memory import Memory, events_of_turns, snapshots
from breakers.ingest.otlp.messages import (
    JSON,
    PROTOBUF,
    Media,
    NotUnderstood,
    logs_request,
    metrics_request,
)
from breakers.ingest.otlp.polly import path, quantiles

MEDIA = st.sampled_from([JSON, PROTOBUF])
NAMES = st.sampled_from(
    [
        "resourceLogs",
        "resourceMetrics",
        "scopeLogs",
        "scopeMetrics",
        "scope",
        "logRecords",
        "metrics",
        "sum",
        "histogram",
        "dataPoints",
        "resource",
        "attributes",
        "key",
        "value",
        "stringValue",
        "intValue",
        "name",
        "eventName",
        "timeUnixNano",
        "count",
        "bucketCounts",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=20,
)


def read_all(body: bytes, media: Media) -> None:
    """All that happens to a body before the database has it; raises NotUnderstood alone."""
    logs.events_of(logs_request(body, media), default_environment="default")
    found = polly.gather(metrics_request(body, media), default_environment="default")
    for pipeline in found.pipelines:
        memory = Memory()
        for turned in found.turned.get(pipeline, ()):
            events_of_turns(pipeline, turned, memory)
        for fared in found.fared.get(pipeline, ()):
            snapshots(pipeline, fared, memory)


@given(st.binary(max_size=200), MEDIA)
def test_arbitrary_bytes_raise_nothing_but_not_understood(body: bytes, media: Media) -> None:
    with contextlib.suppress(NotUnderstood):
        read_all(body, media)


@given(VALUES)
def test_arbitrary_json_raises_nothing_but_not_understood(value: object) -> None:
    with contextlib.suppress(NotUnderstood):
        read_all(json.dumps(value).encode(), JSON)


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """Real messages, with odd values wherever there is a place for one."""
    number = st.integers(0, 2**64 - 1)
    text = st.text(max_size=5)
    if draw(st.booleans()):
        request = ExportLogsServiceRequest()
        record = request.resource_logs.add().scope_logs.add().log_records.add()
        record.time_unix_nano = draw(number)
        record.event_name = draw(st.sampled_from(["", "io.panelboard.breaker.event.v1"]))
        for key in ("panelboard.to", "panelboard.labels.a", "panelboard.labels", "event.name"):
            pair = record.attributes.add(key=draw(st.just(key) | text))
            pair.value.string_value = draw(text)
        return bytes(request.SerializeToString())
    metrics = ExportMetricsServiceRequest()
    group = metrics.resource_metrics.add()
    group.resource.attributes.add(key="service.name").value.string_value = "s"
    part = group.scope_metrics.add()
    part.scope.name = "Polly"
    metric = part.metrics.add(name=polly.EVENTS)
    metric.sum.aggregation_temporality = draw(st.integers(0, 2))
    for _ in range(draw(st.integers(0, 3))):
        point = metric.sum.data_points.add(
            time_unix_nano=draw(number), start_time_unix_nano=draw(number)
        )
        if draw(st.booleans()):
            point.as_double = draw(st.floats())
        else:
            point.as_int = draw(st.integers(-(2**63), 2**63 - 1))
        name = draw(st.sampled_from(list(polly.TURNS)))
        point.attributes.add(key="event.name").value.string_value = name
    metric = part.metrics.add(name=polly.DURATION)
    bar = metric.histogram.data_points.add(time_unix_nano=draw(number), count=draw(number))
    bar.bucket_counts.extend(draw(st.lists(number, max_size=3)))
    bar.explicit_bounds.extend(draw(st.lists(st.floats(), max_size=3)))
    return bytes(metrics.SerializeToString())


@given(messages())
def test_odd_messages_raise_nothing(body: bytes) -> None:
    with contextlib.suppress(NotUnderstood):  # a logs request read as metrics may not be one
        read_all(body, PROTOBUF)


@pytest.mark.parametrize("depth", [1_000, 100_000])
def test_deep_nesting_raises_nothing_else(depth: int) -> None:
    body = b'{"x":' * depth + b"1" + b"}" * depth
    nested = b'{"resourceLogs":[{"resource":{"attributes":[' + b'{"value":' * depth

    for deep in (body, nested):
        with contextlib.suppress(NotUnderstood):
            logs_request(deep, JSON)


@pytest.mark.parametrize(
    ("before", "opened", "half_opened", "closed", "told"),
    [
        ("closed", 0, 0, 0, []),
        ("closed", 1, 0, 0, ["open"]),
        ("open", 0, 1, 0, ["half_open"]),
        ("half_open", 0, 0, 1, ["closed"]),
        ("half_open", 1, 0, 0, ["open"]),
        ("closed", 1, 1, 1, ["open", "half_open", "closed"]),
        ("open", 1, 1, 0, ["half_open", "open"]),  # a probe that failed
        ("open", 1, 1, 1, ["half_open", "closed", "open"]),  # closed, and open again
        ("closed", 2, 1, 1, ["half_open", "closed", "open"]),
        ("closed", 1, 0, 1, ["open", "closed"]),  # isolated and released by hand
        ("open", 0, 0, 1, ["closed"]),  # released by hand
        ("forced_open", 0, 0, 1, ["closed"]),
        (
            "closed",
            3,
            3,
            1,
            ["open", "half_open", "closed"],
        ),  # two probes that failed, one that did not
    ],
)
def test_the_state_after_the_turns(
    before: str, opened: int, half_opened: int, closed: int, told: list[str]
) -> None:
    assert path(before, Counter(open=opened, half_open=half_opened, closed=closed)) == told


@given(st.lists(st.sampled_from(["turn", "fail"]), max_size=30), st.integers(0, 30))
def test_open_is_told_exactly_where_it_is_open(choices: list[str], cut: int) -> None:
    """Whatever a breaker does by itself, from wherever it was at the last export."""
    states = ["closed"]
    for choice in choices:
        states.append(
            {
                "closed": "open",
                "open": "half_open",
                "half_open": "open" if choice == "fail" else "closed",
            }[states[-1]]
        )
    before, turns = states[: cut + 1][-1], states[cut + 1 :]

    after = (path(before, Counter(turns)) or [before])[-1]

    assert (after == "open") == (states[-1] == "open")


def test_quantiles_are_spread_within_their_bucket() -> None:
    assert quantiles([10, 20], [10, 10, 0], [0.5, 0.75]) == [10, 15]
    assert quantiles([10, 20], [0, 0, 4], [0.5]) == [20]  # beyond the last bound: no less than that
    assert quantiles([10, 20], [0, 0, 0], [0.5]) == [None]


def test_null_in_json_is_what_is_not_there() -> None:
    record = {
        "timeUnixNano": None,
        "eventName": None,
        "attributes": None,
        "body": {"stringValue": "x"},
    }
    body = {"resourceLogs": [{"resource": None, "scopeLogs": [{"logRecords": [record]}]}]}

    said = logs_request(json.dumps(body).encode(), JSON)

    [read] = said.resource_logs[0].scope_logs[0].log_records
    assert (read.time_unix_nano, read.event_name, read.body.string_value) == (0, "", "x")
