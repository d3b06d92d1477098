"""The published description of the API: what Ninja knows, and the bare endpoints that it does not."""

from __future__ import annotations

from typing import Any

import msgspec
from ninja import NinjaAPI
from ninja.openapi.schema import OpenAPISchema

from breakers.asgi import BODY_MAX
from breakers.ingest.endpoint import EVENTS_MAX
from breakers.ingest.formats import formats
from breakers.ingest.otlp.app import BODY_MAX as OTLP_BODY_MAX
from breakers.ingest.otlp.messages import JSON, PROTOBUF
from breakers.wire import EventIn

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
        schemas["EventsOutcome"] = _OUTCOME
        schema["components"]["securitySchemes"] = {
            "key": {"type": "http", "scheme": "bearer"},
            "session": {"type": "apiKey", "in": "cookie", "name": "sessionid"},
        }
        bare = {
            "/api/v1/events": {"post": _post_events(event)},
            "/v1/logs": {"post": _post_otlp("logs")},
            "/v1/metrics": {"post": _post_otlp("metrics")},
        }
        schema["paths"] = bare | schema["paths"]
        for path, operations in schema["paths"].items():
            for operation in operations.values():
                operation["security"] = [{"key": []}]
                if path not in bare:
                    operation["security"].append({"session": []})
                    operation["responses"].setdefault("default", _problem("What went wrong"))
        return schema


def _post_events(event: dict[str, Any]) -> dict[str, Any]:
    body = {"oneOf": [event, {"type": "array", "items": event, "maxItems": EVENTS_MAX}]}
    return {
        "operationId": "post_events",
        "tags": ["events"],
        "summary": "Events in",
        "description": "One event or an array. Each stands or falls alone; answered after the commit.",
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
