from __future__ import annotations

import gzip
import json
import time
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

from breakers.models import Event
from tests.support.make import make_key
from tests.support.web import Web

RECORDED = Path(__file__).parents[2] / "recorded" / "otlp"
PROTOBUF = {"content-type": "application/x-protobuf"}
NAME = "io.panelboard.breaker.event.v1"


def recorded(name: str, *, at_s: float = 0) -> dict[str, Any]:
    """A payload as it was recorded, its times moved to now (and `at_s` from it)."""
    text = (RECORDED / name).read_text()
    now = time.time_ns() + int(at_s * 1e9)
    return dict(json.loads(text.replace("@START", str(now - 60 * 10**9)).replace("@NOW", str(now))))


def logs(*records: dict[str, Any], **resource: str) -> dict[str, Any]:
    attributes = {"service.name": "checkout"} | {
        key.replace("_", "."): value for key, value in resource.items()
    }
    return {
        "resourceLogs": [
            {
                "resource": {"attributes": pairs(attributes)},
                "scopeLogs": [{"scope": {"name": "x"}, "logRecords": list(records)}],
            }
        ]
    }


def record(**fields: Any) -> dict[str, Any]:
    said = {"panelboard.breaker": "catalog", "panelboard.to": "open"} | {
        f"panelboard.{key}": value for key, value in fields.items()
    }
    return {
        "timeUnixNano": str(time.time_ns()),
        "eventName": NAME,
        "attributes": pairs(said),
    }


def pairs(said: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": {"stringValue": value}} for key, value in said.items()]


async def post(web: Web, path: str, body: Any, *, key: str | None = None, **headers: str) -> Any:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    said = {"content-type": "application/json"} | {
        k.replace("_", "-"): v for k, v in headers.items()
    }
    return await web.http.post(path, content=content, headers=web.bearer(key) | said)


async def test_what_net_sends_of_polly_is_understood_in_json(web: Web) -> None:
    answer = await post(web, "/v1/metrics", recorded("polly-8-cumulative.json"))

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "partialSuccess": {
            "rejectedDataPoints": "0",
            "errorMessage": "2 data points ignored: not about circuit breakers",
        }
    }
    assert (await web.breaker("ordering", "stock/eu"))["state"] == "open"


async def test_the_same_export_again_changes_nothing(web: Web) -> None:
    body = recorded("polly-8-cumulative.json")

    for _ in range(2):
        assert (await post(web, "/v1/metrics", body)).status_code == 200

    assert await Event.objects.acount() == 1


async def test_a_process_that_began_again_counts_from_nothing(web: Web) -> None:
    await post(web, "/v1/metrics", recorded("polly-8-cumulative.json"))

    again = recorded("polly-8-cumulative.json", at_s=70)  # its start is after the export before

    assert (await post(web, "/v1/metrics", again)).status_code == 200
    assert await Event.objects.acount() == 2


async def test_the_same_log_record_again_changes_nothing(web: Web) -> None:
    body = logs(record(), deployment_environment="staging")

    for _ in range(2):
        assert (await post(web, "/v1/logs", body)).json() == {}

    event = await Event.objects.aget()
    assert event.event_id.startswith("otlp-")
    [breaker] = (await web.get("breakers", service="checkout"))["items"]
    assert breaker["environment"] == "staging"


async def test_protobuf_is_answered_in_protobuf(web: Web) -> None:
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    group.resource.attributes.add(key="service.name").value.string_value = "checkout"
    part = group.scope_logs.add()
    for to in ("open", "ajar"):
        one = part.log_records.add(time_unix_nano=time.time_ns(), event_name=NAME)
        one.attributes.add(key="panelboard.breaker").value.string_value = "catalog"
        one.attributes.add(key="panelboard.to").value.string_value = to

    answer = await post(
        web, "/v1/logs", request.SerializeToString(), **{"content-type": PROTOBUF["content-type"]}
    )

    assert answer.headers["content-type"] == "application/x-protobuf"
    partial = ExportLogsServiceResponse.FromString(answer.content).partial_success
    assert partial.rejected_log_records == 1
    assert "to " in partial.error_message
    assert await Event.objects.acount() == 1


async def test_an_empty_export_is_a_success(web: Web) -> None:
    request = ExportMetricsServiceRequest().SerializeToString()

    answer = await post(web, "/v1/metrics", request, **{"content-type": PROTOBUF["content-type"]})

    assert answer.status_code == 200
    assert not ExportMetricsServiceResponse.FromString(answer.content).HasField("partial_success")


async def test_what_cannot_be_placed_is_rejected_with_the_reason(web: Web) -> None:
    nameless = logs(record())
    nameless["resourceLogs"][0]["resource"]["attributes"] = []
    timeless = logs(record() | {"timeUnixNano": "0"})

    for body, reason in ((nameless, "service.name"), (timeless, "timeUnixNano")):
        partial = (await post(web, "/v1/logs", body)).json()["partialSuccess"]
        assert partial["rejectedLogRecords"] == "1"
        assert reason in partial["errorMessage"]

    body = recorded("polly-8-cumulative.json")
    body["resourceMetrics"][0]["resource"]["attributes"] = []
    partial = (await post(web, "/v1/metrics", body)).json()["partialSuccess"]
    assert partial["rejectedDataPoints"] == "4"
    assert "service.name" in partial["errorMessage"]


async def test_what_was_refused_is_told_afresh_once_it_is_let_in(web: Web) -> None:
    body = recorded("polly-8-cumulative.json", at_s=3600)
    partial = (await post(web, "/v1/metrics", body)).json()["partialSuccess"]
    assert "ahead" in partial["errorMessage"]

    await post(web, "/v1/metrics", recorded("polly-8-cumulative.json"))

    assert (await web.breaker("ordering", "stock/eu"))["state"] == "open"


@pytest.mark.parametrize("path", ["/v1/logs", "/v1/metrics"])
async def test_bad_requests_get_a_clear_answer(web: Web, path: str) -> None:
    _, reader = await sync_to_async(make_key)(name="r", scopes=["read"])
    bomb = gzip.compress(b" " * (32 * 1024 * 1024))

    assert (await web.http.get(path)).status_code == 405
    assert (await web.http.post(path)).status_code == 401
    assert (await post(web, path, {}, key=reader)).status_code == 403
    assert (await post(web, path, {}, content_type="text/plain")).status_code == 415
    assert (await post(web, path, {}, content_encoding="br")).status_code == 415
    assert (await post(web, path, b"{", content_type="application/json")).status_code == 400
    assert (
        await post(web, path, b"\xff\xff", content_type=PROTOBUF["content-type"])
    ).status_code == 400
    assert (await post(web, path, bomb, content_encoding="gzip")).status_code == 413
    assert (await post(web, path, b" " * (5 * 2**20))).status_code == 413
    many = logs(*[record() for _ in range(1001)])
    assert (await post(web, "/v1/logs", many)).status_code == 413


async def test_a_limited_key_may_tell_of_its_own_alone(web: Web) -> None:
    _, key = await sync_to_async(make_key)(name="k", scopes=["ingest"], environment="prod")

    assert (await post(web, "/v1/logs", logs(record()), key=key)).json() == {}
    [breaker] = (await web.get("breakers", service="checkout"))["items"]
    assert breaker["environment"] == "prod"
    outside = logs(record(), deployment_environment="dev")
    assert (await post(web, "/v1/logs", outside, key=key)).status_code == 403
