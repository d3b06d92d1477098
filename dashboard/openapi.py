"""The published description of the API: what Ninja knows, and the bare endpoints that it does not."""

from __future__ import annotations

from typing import Any

import msgspec
from ninja import NinjaAPI
from ninja.openapi.schema import OpenAPISchema

from alerts.rules import rule_kinds
from breakers.asgi import BODY_MAX
from breakers.ingest.endpoint import EVENTS_MAX
from breakers.ingest.formats import cloudevents, formats
from breakers.ingest.otlp.app import BODY_MAX as OTLP_BODY_MAX
from breakers.ingest.otlp.messages import JSON, PROTOBUF
from breakers.wire import EventIn
from dashboard.agent_calls import agent_paths, agent_schemas

_PROBLEM = {
    "type": "object",
    "description": "RFC 9457",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {"type": "array", "items": {"$ref": "#/components/schemas/FieldError"}},
    },
}
_FIELD_ERROR = {
    "type": "object",
    "required": ["loc", "msg"],
    "properties": {
        "loc": {"type": "array", "items": {"type": ["string", "integer"]}},
        "msg": {"type": "string"},
    },
}
_OUTCOME = {
    "type": "object",
    "required": ["accepted", "duplicates", "rejected"],
    "properties": {
        "accepted": {"type": "integer"},
        "duplicates": {"type": "integer"},
        "rejected": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["index", "errors"],
                "properties": {
                    "index": {"type": "integer", "description": "counts from 0"},
                    "errors": {
                        "type": "array",
                        "items": {"$ref": "#/components/schemas/FieldError"},
                    },
                },
            },
        },
    },
}
_REFUSED = {
    400: "The body is not what its type says",
    401: "The key is missing, unknown or revoked",
    403: "The key lacks the scope `ingest`, or all events lie outside its limits",
    405: "Another method than POST",
    408: "The body did not arrive in time",
    413: f"More than {EVENTS_MAX} events or {BODY_MAX} bytes",
    415: "Another media type or content encoding",
    422: "All events were rejected; has `accepted`, `duplicates` and `rejected` too",
    429: "The key sends events faster than it may; see Retry-After",
    503: "Nothing was stored; see Retry-After",
}

_REFUSED_EXPORT = {status: text for status, text in _REFUSED.items() if status != 422} | {
    413: f"More than {EVENTS_MAX} events of breakers or {OTLP_BODY_MAX} bytes",
}
_IDEMPOTENCY_KEY = {
    "in": "header",
    "name": "Idempotency-Key",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 200},
    "description": "Sent again with the same key within 24 hours, the call is not carried out again: the first "
    "answer is given, with `Idempotent-Replayed: true`. Another body under the same key is 422, a call while the "
    "first still runs 409. What was refused is not kept and may be asked again.",
}
_NUMBERS_TOLD = {"logs": "rejectedLogRecords", "metrics": "rejectedDataPoints"}


class PanelboardAPI(NinjaAPI):
    """Ninja's API whose document also has what is served beside it."""

    def get_openapi_schema(self, **options: Any) -> OpenAPISchema:
        schema = super().get_openapi_schema(**options)
        (event,), components = msgspec.json.schema_components(
            [EventIn], ref_template="#/components/schemas/{name}"
        )
        schemas = schema["components"]["schemas"]
        schemas |= components | {"Problem": _PROBLEM, "FieldError": _FIELD_ERROR}
        schemas |= agent_schemas("#/components/schemas/{name}")
        schemas["EventsOutcome"] = _OUTCOME
        _describe_kinds(schemas)
        schema["components"]["securitySchemes"] = {
            "key": {"type": "http", "scheme": "bearer"},
            "session": {"type": "apiKey", "in": "cookie", "name": "sessionid"},
        }
        bare = {
            "/api/v1/events": {"post": _post_events(event)},
            "/v1/logs": {"post": _post_otlp("logs")},
            "/v1/metrics": {"post": _post_otlp("metrics")},
            **agent_paths(_problem),
        }
        schema["paths"] = bare | schema["paths"]
        for path, operations in schema["paths"].items():
            for method, operation in operations.items():
                if method == "post" and path not in bare:
                    operation.setdefault("parameters", []).append(_IDEMPOTENCY_KEY)
                operation["security"] = [{"key": []}]
                if path not in bare:
                    operation["security"].append({"session": []})
                    operation["responses"].setdefault("default", _problem("What went wrong"))
        return schema


def _describe_kinds(schemas: dict[str, Any]) -> None:
    """The kinds of rules with their params, from the registry."""
    kinds = [rule_kinds.get(name) for name in rule_kinds.names()]
    params, components = msgspec.json.schema_components(
        kinds, ref_template="#/components/schemas/RuleParams.{name}"
    )
    schemas |= {f"RuleParams.{name}": schema for name, schema in components.items()}
    fields = schemas["RuleIn"]["properties"]
    fields["kind"]["enum"] = rule_kinds.names()
    fields["params"]["anyOf"] = [
        one | {"title": kind.kind} for kind, one in zip(kinds, params, strict=True)
    ]


_EVENTS_IN = f"""One event, or an array of at most {EVENTS_MAX}, of at most 1 MiB also once it is expanded \
(`Content-Encoding: gzip`). Each stands or falls alone, and the answer comes after the commit.

The same as lines of JSON (`application/x-ndjson`), or as CloudEvents: one (`application/cloudevents+json`), an array of \
them (`application/cloudevents-batch+json`), or in binary mode, with `ce-id`, `ce-time`, `ce-source`, `ce-type` and \
`ce-specversion` as headers and the event as the JSON body. Their `type` is `{cloudevents.TYPE}`; the envelope's id and \
time win.

`occurred_at` may be 7 days old and 5 minutes ahead; left out, it is the time of arrival. An `id` makes a repeat harmless: \
what has the same `id` within a service, and the same `occurred_at` where it says one, is counted as a duplicate and \
changes nothing. The state is that of the last change by `boot` (those begun later come later), `seq`, `occurred_at` \
and `id`, so events may come late and in any order. null means the same as leaving a field out."""


def _post_events(event: dict[str, Any]) -> dict[str, Any]:
    body = {"oneOf": [event, {"type": "array", "items": event, "maxItems": EVENTS_MAX}]}
    return {
        "operationId": "post_events",
        "tags": ["events"],
        "summary": "Events in",
        "description": _EVENTS_IN,
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": body}}
            | {media: {"schema": {}} for media in formats() if media != "application/json"},
        },
        "responses": {
            "202": {
                "description": "Committed",
                "content": {
                    "application/json": {"schema": {"$ref": "#/components/schemas/EventsOutcome"}}
                },
            }
        }
        | {str(status): _problem(text) for status, text in _REFUSED.items()},
    }


def _post_otlp(signal: str) -> dict[str, Any]:
    partial = {
        "type": "object",
        "properties": {
            "partialSuccess": {
                "type": "object",
                "properties": {
                    _NUMBERS_TOLD[signal]: {"type": "string", "description": "an integer"},
                    "errorMessage": {"type": "string"},
                },
            }
        },
    }
    return {
        "operationId": f"post_otlp_{signal}",
        "tags": ["events"],
        "summary": f"OTLP {signal} in",
        "description": "An export by OpenTelemetry; what is not about circuit breakers is ignored. "
        "Answered after the commit, in the request's encoding.",
        "requestBody": {
            "required": True,
            "content": {
                PROTOBUF: {"schema": {"type": "string", "format": "binary"}},
                JSON: {"schema": {"type": "object"}},
            },
        },
        "responses": {
            "200": {
                "description": "Committed, but for what the partial success names",
                "content": {
                    PROTOBUF: {"schema": {"type": "string", "format": "binary"}},
                    JSON: {"schema": partial},
                },
            }
        }
        | {str(status): _problem(text) for status, text in _REFUSED_EXPORT.items()},
    }


def _problem(text: str) -> dict[str, Any]:
    media = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {"description": text, "content": {"application/problem+json": media}}
