"""OTLP requests from their two encodings, and the answers to them. Pure.

JSON is decoded into structs that have the attributes of protobuf's own messages, so that what reads them
need not know which it has; protobuf's own reader of JSON takes fifty times as long (1.3 s for 3.5 MB).
https://opentelemetry.io/docs/specs/otlp/
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal, cast

import msgspec
from google.protobuf.message import DecodeError
from msgspec import Struct
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2

PROTOBUF, JSON = "application/x-protobuf", "application/json"
MEDIA_TYPES = (PROTOBUF, JSON)
Media = Literal["application/x-protobuf", "application/json"]
Plain = str | bool | int | float


class NotUnderstood(ValueError):
    """The body is no OTLP request in the encoding that it says."""


class AnyValue(Struct, frozen=True, rename="camel"):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: int | None = None
    double_value: float | None = None

    def WhichOneof(self, group: str) -> str | None:
        return next(
            (name for name in self.__struct_fields__ if getattr(self, name) is not None), None
        )


class KeyValue(Struct, frozen=True):
    key: str = ""
    value: AnyValue = AnyValue()


class Resource(Struct, frozen=True):
    attributes: list[KeyValue] = []


class Scope(Struct, frozen=True):
    name: str = ""
    version: str = ""


class LogRecord(Struct, frozen=True, rename="camel"):
    time_unix_nano: int = 0
    observed_time_unix_nano: int = 0
    body: AnyValue = AnyValue()
    attributes: list[KeyValue] = []
    event_name: str = ""


class ScopeLogs(Struct, frozen=True, rename="camel"):
    scope: Scope = Scope()
    log_records: list[LogRecord] = []


class ResourceLogs(Struct, frozen=True, rename="camel"):
    resource: Resource = Resource()
    scope_logs: list[ScopeLogs] = []


class LogsRequest(Struct, frozen=True, rename="camel"):
    resource_logs: list[ResourceLogs] = []


class NumberPoint(Struct, frozen=True, rename="camel"):
    attributes: list[KeyValue] = []
    start_time_unix_nano: int = 0
    time_unix_nano: int = 0
    as_double: float = 0.0
    as_int: int = 0


class HistogramPoint(Struct, frozen=True, rename="camel"):
    attributes: list[KeyValue] = []
    start_time_unix_nano: int = 0
    time_unix_nano: int = 0
    count: int = 0
    bucket_counts: list[int] = []
    explicit_bounds: list[float] = []


class Sum(Struct, frozen=True, rename="camel"):
    data_points: list[NumberPoint] = []
    aggregation_temporality: int | str = 0


class Histogram(Struct, frozen=True, rename="camel"):
    data_points: list[HistogramPoint] = []
    aggregation_temporality: int | str = 0


class Points(Struct, frozen=True, rename="camel"):
    """Points of kinds that are only counted."""

    data_points: list[msgspec.Raw] = []


class Metric(Struct, frozen=True, rename="camel"):
    name: str = ""
    sum: Sum = Sum()
    histogram: Histogram = Histogram()
    gauge: Points = Points()
    exponential_histogram: Points = Points()
    summary: Points = Points()


class ScopeMetrics(Struct, frozen=True):
    scope: Scope = Scope()
    metrics: list[Metric] = []


class ResourceMetrics(Struct, frozen=True, rename="camel"):
    resource: Resource = Resource()
    scope_metrics: list[ScopeMetrics] = []


class MetricsRequest(Struct, frozen=True, rename="camel"):
    resource_metrics: list[ResourceMetrics] = []


# Not strict: 64-bit integers are strings in protobuf's JSON.
_logs = msgspec.json.Decoder(LogsRequest, strict=False).decode
_metrics = msgspec.json.Decoder(MetricsRequest, strict=False).decode
_DELTA = (1, "AGGREGATION_TEMPORALITY_DELTA")


def logs_request(body: bytes, media: Media) -> LogsRequest:
    """The body of a POST to /v1/logs. Raises NotUnderstood."""
    message = logs_service_pb2.ExportLogsServiceRequest
    return cast(LogsRequest, _decode(body, media, message, _logs))


def metrics_request(body: bytes, media: Media) -> MetricsRequest:
    """The body of a POST to /v1/metrics. Raises NotUnderstood."""
    message = metrics_service_pb2.ExportMetricsServiceRequest
    return cast(MetricsRequest, _decode(body, media, message, _metrics))


def _decode(body: bytes, media: Media, message: Any, decode_json: Any) -> object:
    try:
        if media == PROTOBUF:
            return message.FromString(body)
        body.decode()
        try:
            return decode_json(body)
        except msgspec.ValidationError:
            # Protobuf's JSON has null for whatever is not there; hardly anybody sends it.
            return decode_json(msgspec.json.encode(_without_nulls(msgspec.json.decode(body))))
    except (DecodeError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise NotUnderstood(str(problem)) from problem


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(one) for name, one in value.items() if one is not None}
    return [_without_nulls(one) for one in value] if isinstance(value, list) else value


def logs_answer(media: Media, *, rejected: int, message: str) -> bytes:
    """With a partial success where there is something to say."""
    if media == JSON:
        return _json_answer("rejectedLogRecords", rejected, message)
    answer = logs_service_pb2.ExportLogsServiceResponse()
    if message:
        answer.partial_success.rejected_log_records = rejected
        answer.partial_success.error_message = message
    return bytes(answer.SerializeToString())


def metrics_answer(media: Media, *, rejected: int, message: str) -> bytes:
    """With a partial success where there is something to say."""
    if media == JSON:
        return _json_answer("rejectedDataPoints", rejected, message)
    answer = metrics_service_pb2.ExportMetricsServiceResponse()
    if message:
        answer.partial_success.rejected_data_points = rejected
        answer.partial_success.error_message = message
    return bytes(answer.SerializeToString())


def _json_answer(name: str, rejected: int, message: str) -> bytes:
    partial = {"partialSuccess": {name: str(rejected), "errorMessage": message}}
    return msgspec.json.encode(partial if message else {})


def attributes_of(pairs: list[KeyValue]) -> dict[str, Plain]:
    """The attributes with a text, a number or a truth; arrays and maps are left out."""
    found: dict[str, Plain] = {}
    for pair in pairs:
        which = pair.value.WhichOneof("value")
        if which in ("string_value", "bool_value", "int_value", "double_value"):
            found[pair.key] = getattr(pair.value, which)
    return found


def is_delta(temporality: int | str) -> bool:
    return temporality in _DELTA


def time_of(nanoseconds: int) -> datetime | None:
    """The time of a point or record, cut to the microsecond; None where the calendar does not have it."""
    seconds, rest = divmod(nanoseconds, 10**9)
    try:
        return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // 1000)
    except (ValueError, OverflowError, OSError):
        return None


class Identity(Struct, frozen=True):
    """Whose telemetry it is, by the resource's attributes."""

    environment: str
    service: str | None
    instance: str

    @classmethod
    def of(cls, resource: Resource, default_environment: str) -> Identity:
        said = attributes_of(resource.attributes)

        def first(*names: str) -> str | None:
            return next((str(said[name]) for name in names if said.get(name)), None)

        return cls(
            environment=first("deployment.environment.name", "deployment.environment")
            or default_environment,
            service=first("service.name"),
            instance=first("service.instance.id", "k8s.pod.name", "host.name") or "default",
        )
