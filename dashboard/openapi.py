"""The published description of the API: what Ninja knows, and the bare endpoint that it does not."""

from __future__ import annotations

from typing import Any

import msgspec
from ninja import NinjaAPI
from ninja.openapi.schema import OpenAPISchema

from breakers.asgi import BODY_MAX
from breakers.ingest.endpoint import EVENTS_MAX
from breakers.ingest.formats import formats
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
    503: "Nothing was stored; see Retry-After",
}


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
        schema["paths"] = {"/api/v1/events": {"post": _post_events(event)}} | schema["paths"]
        for path, operations in schema["paths"].items():
            for operation in operations.values():
                operation["security"] = [{"key": []}]
                if path != "/api/v1/events":
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


def _problem(text: str) -> dict[str, Any]:
    media = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {"description": text, "content": {"application/problem+json": media}}
