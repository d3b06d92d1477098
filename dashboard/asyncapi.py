"""The published description of the agent socket (AsyncAPI 3), made from the very structs that decode its frames.

https://www.asyncapi.com/docs/reference/specification/v3.0.0
"""

from __future__ import annotations

from functools import cache
from typing import Any, get_args

import msgspec
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from breakers import closing
from breakers.agents.hub import HEARTBEAT_S
from breakers.wire import AgentFrame, EventBody, ServerFrame

PATH = "/api/v1/asyncapi.json"
_TEMPLATE = "#/components/schemas/{name}"
_CLOSES = {
    closing.RESTARTING: "the server restarts, or took the agent for lost",
    closing.OVERLOADED: "overloaded, or the database is away",
    closing.NOT_UNDERSTOOD: "a frame was not understood",
    closing.UNAUTHENTICATED: "the key is missing, unknown or revoked",
    closing.FORBIDDEN: "the key lacks the scope, or its limits do not hold the service",
    closing.NO_HELLO: "no hello within 10 s",
    closing.TAKEN: "the same instance is connected elsewhere; the newer stays",
}


@require_safe
def asyncapi(request: HttpRequest) -> HttpResponse:
    """Open to all, for it names no service."""
    return HttpResponse(msgspec.json.encode(asyncapi_document()), content_type="application/json")


@cache
def asyncapi_document() -> dict[str, Any]:
    said, told = get_args(AgentFrame), get_args(ServerFrame)
    messages = {_type_of(frame): _message(frame) for frame in (*said, *told)}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Panelboard: the agent socket",
            "version": "1",
            "description": "What an agent and the panel say to each other. Unknown fields are ignored on both "
            "sides; the rules are in docs/agent-protocol.md.",
        },
        "defaultContentType": "application/json",
        "channels": {
            "agent": {
                "address": "/agent/v1",
                "description": "JSON text frames of at most 1 MiB. Closed with: "
                + "; ".join(f"{code}, {text}" for code, text in _CLOSES.items())
                + ".",
                "messages": {name: {"$ref": _message_ref(name)} for name in messages},
                "bindings": {
                    "ws": {
                        "bindingVersion": "0.1.0",
                        "headers": {
                            "type": "object",
                            "required": ["Authorization"],
                            "properties": {
                                "Authorization": {"type": "string", "pattern": "^Bearer "}
                            },
                        },
                    }
                },
            }
        },
        "operations": {
            "fromAgent": _operation("receive", said, "What an agent says."),
            "toAgent": _operation(
                "send", told, f"What the panel says; pings are due each {HEARTBEAT_S} s."
            ),
        },
        "components": {"messages": messages, "schemas": _schemas((*said, *told))},
    }


def _type_of(frame: type[msgspec.Struct]) -> str:
    return str(frame.__struct_config__.tag)


def _message_ref(name: str) -> str:
    return f"#/components/messages/{name}"


def _message(frame: type[msgspec.Struct]) -> dict[str, Any]:
    return {
        "name": _type_of(frame),
        "summary": (frame.__doc__ or "").strip().replace("\n    ", " "),
        "payload": {"$ref": _TEMPLATE.format(name=frame.__name__)},
    }


def _operation(
    action: str, frames: tuple[type[msgspec.Struct], ...], summary: str
) -> dict[str, Any]:
    names = [_type_of(frame) for frame in frames]
    return {
        "action": action,
        "summary": summary,
        "channel": {"$ref": "#/channels/agent"},
        "messages": [{"$ref": f"#/channels/agent/messages/{name}"} for name in names],
    }


def _schemas(frames: tuple[type[msgspec.Struct], ...]) -> dict[str, Any]:
    _, schemas = msgspec.json.schema_components([*frames, EventBody], ref_template=_TEMPLATE)
    # Events are decoded one by one, so that each stands or falls alone; the frame's struct has them raw.
    schemas["Events"]["properties"]["events"]["items"] = {
        "$ref": _TEMPLATE.format(name="EventBody")
    }
    return schemas
