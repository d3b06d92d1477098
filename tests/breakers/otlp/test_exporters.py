"""OpenTelemetry's own SDK and exporters for Python, against a real server."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from breakers.models import Event, Snapshot
from tests.support.web import Web

RESOURCE = Resource(
    {
        "service.name": "checkout",
        "service.instance.id": "checkout-1",
        "deployment.environment.name": "prod",
    }
)
EVENT_NAME = "io.panelboard.breaker.event.v1"


async def exported(act: Callable[[], Any]) -> None:
    """Exporters block, and the server lives in this loop."""
    await asyncio.to_thread(act)


def meters(web: Web, temporality: AggregationTemporality) -> MeterProvider:
    exporter = OTLPMetricExporter(
        endpoint=f"http://{web.host}/v1/metrics",
        headers=web.bearer(),
        compression=Compression.Gzip,
        preferred_temporality={Counter: temporality, Histogram: temporality},
    )
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=float("inf"))
    return MeterProvider(metric_readers=[reader], resource=RESOURCE, shutdown_on_exit=False)


class Polly:
    """The instruments of Polly v8, by its own names."""

    def __init__(self, provider: MeterProvider) -> None:
        meter = provider.get_meter("Polly", "8.5.0")
        self._events = meter.create_counter("resilience.polly.strategy.events")
        self._duration = meter.create_histogram("resilience.polly.pipeline.duration", unit="ms")
        self._other = provider.get_meter("Http").create_counter("http.requests")

    def event(self, name: str, severity: str = "Error", **more: str) -> None:
        said = {
            "event.name": name,
            "event.severity": severity,
            "pipeline.name": "payments",
            "strategy.name": "CircuitBreaker",
        }
        self._events.add(1, said | more)

    def call(self, ms: float, exception: str | None = None) -> None:
        said = {"pipeline.name": "payments"}
        self._duration.record(ms, said | ({"exception.type": exception} if exception else {}))

    def something_else(self) -> None:
        self._other.add(1)


@pytest.mark.parametrize(
    "temporality", [AggregationTemporality.CUMULATIVE, AggregationTemporality.DELTA]
)
async def test_pollys_breaker_opens_probes_and_closes(
    web: Web, temporality: AggregationTemporality
) -> None:
    provider = meters(web, temporality)
    polly = Polly(provider)

    polly.event("OnCircuitOpened")
    polly.event("OnRetry", "Warning")
    polly.something_else()
    await exported(provider.force_flush)
    assert (await web.breaker("checkout", "payments"))["state"] == "open"

    await exported(provider.force_flush)
    assert await Event.objects.acount() == 1  # nothing new was said

    polly.event("OnCircuitHalfOpened", "Warning")
    await exported(provider.force_flush)
    assert (await web.breaker("checkout", "payments"))["state"] == "half_open"

    polly.event("OnCircuitClosed", "Information")
    await exported(provider.force_flush)
    assert (await web.breaker("checkout", "payments"))["state"] == "closed"
    [inside] = (
        await web.get(f"breakers/{(await web.breaker('checkout', 'payments'))['id']}/instances")
    )["items"]
    assert inside["instance"] == "checkout-1"
    assert inside["library"] == "Polly 8.5.0"


async def test_an_outage_between_two_exports_leaves_its_trace(web: Web) -> None:
    provider = meters(web, AggregationTemporality.CUMULATIVE)
    polly = Polly(provider)

    for name in ("OnCircuitOpened", "OnCircuitHalfOpened", "OnCircuitClosed"):
        polly.event(name)
    await exported(provider.force_flush)

    told = [event.to_state async for event in Event.objects.order_by("occurred_at")]
    assert told == ["open", "half_open", "closed"]
    assert (await web.breaker("checkout", "payments"))["state"] == "closed"


async def test_a_breaker_isolated_by_hand_is_forced_open(web: Web) -> None:
    provider = meters(web, AggregationTemporality.CUMULATIVE)
    polly = Polly(provider)

    polly.event("OnCircuitOpened", IsManual="True")
    await exported(provider.force_flush)
    assert (await web.breaker("checkout", "payments"))["state"] == "forced_open"

    polly.event("OnCircuitClosed", IsManual="True")
    await exported(provider.force_flush)
    assert (await web.breaker("checkout", "payments"))["state"] == "closed"

    polly.event("OnCircuitOpened", IsManual="False")
    await exported(provider.force_flush)
    assert (await web.breaker("checkout", "payments"))["state"] == "open"
    causes = [event.cause async for event in Event.objects.order_by("occurred_at")]
    assert causes == ["manual", "manual", "automatic"]


@pytest.mark.parametrize(
    "temporality", [AggregationTemporality.CUMULATIVE, AggregationTemporality.DELTA]
)
async def test_calls_become_snapshots_of_what_was_added(
    web: Web, temporality: AggregationTemporality
) -> None:
    provider = meters(web, temporality)
    polly = Polly(provider)
    polly.event("OnCircuitOpened")
    for _ in range(5):
        polly.call(3)
    await exported(provider.force_flush)
    await Snapshot.objects.all().adelete()  # a delta's first is a sample, a whole life's is not

    for _ in range(8):
        polly.call(30)
    polly.call(40, "System.TimeoutException")
    polly.call(40, "System.TimeoutException")
    polly.call(0.1, "Polly.CircuitBreaker.BrokenCircuitException")
    await exported(provider.force_flush)

    [metrics] = [one.metrics async for one in Snapshot.objects.all()]
    assert metrics["calls"] == 11
    assert metrics["failed"] == 2
    assert metrics["not_permitted"] == 1
    assert metrics["failure_rate"] == pytest.approx(20)
    assert 25 <= metrics["p50_ms"] <= 50
    assert metrics["window"] > 0


async def test_log_records_with_our_name_are_events(web: Web) -> None:
    provider = LoggerProvider(resource=RESOURCE, shutdown_on_exit=False)
    exporter = OTLPLogExporter(
        endpoint=f"http://{web.host}/v1/logs", headers=web.bearer(), compression=Compression.Gzip
    )
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    logger = provider.get_logger("breakers")

    def act() -> None:
        logger.emit(LogRecord(timestamp=time.time_ns(), body="something else"))
        logger.emit(
            LogRecord(
                timestamp=time.time_ns(),
                event_name=EVENT_NAME,
                body="5 failures in a row",
                attributes={
                    "panelboard.breaker": "catalog",
                    "panelboard.to": "open",
                    "panelboard.target": "catalog-api",
                    "panelboard.seq": 3,
                    "panelboard.labels.zone": "a",
                    "panelboard.metrics.calls": 10,
                },
            )
        )

    await exported(act)

    event = await Event.objects.aget()
    assert (event.to_state, event.detail, event.seq) == ("open", "5 failures in a row", 3)
    assert (event.labels, event.metrics) == ({"zone": "a"}, {"calls": 10})
    assert (await web.breaker("checkout", "catalog"))["target"] == "catalog-api"


@pytest.mark.filterwarnings("ignore:`LoggingHandler`")  # its successor brings a whole package along
async def test_a_line_of_pythons_logging_can_be_an_event(web: Web) -> None:
    provider = LoggerProvider(resource=RESOURCE, shutdown_on_exit=False)
    exporter = OTLPLogExporter(endpoint=f"http://{web.host}/v1/logs", headers=web.bearer())
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    logger = logging.Logger("breakers")
    logger.addHandler(LoggingHandler(logger_provider=provider))
    said = {"event.name": EVENT_NAME, "panelboard.breaker": "catalog", "panelboard.to": "open"}

    await exported(lambda: logger.warning("the breaker opened", extra=said))

    assert (await web.breaker("checkout", "catalog"))["state"] == "open"
