"""The two calls of agents without a socket, as the published description has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from breakers.agents.polled import APPLIED_MAX, WAIT_MAX_S, WAIT_S
from breakers.agents.waiting import WAITERS_MAX
from breakers.asgi import BODY_MAX
from breakers.wire import NAME_MAX, Applied, Desired, Hello, HelloWarning, RejectedEvent

Problem = Callable[[str], dict[str, Any]]
_NAME = {"type": "string", "minLength": 1, "maxLength": NAME_MAX}
_ASKED = {
    200: "What is wished, and the cursor to ask for what comes after it",
    401: "The key is missing, unknown or revoked, maybe during the wait",
    403: "The key lacks the scope `agent`",
    404: "No such service lies within the key's limits; or the instance was lost or retired meanwhile: POST its hello",
    405: "Another method than GET",
    409: "The instance has said hello under another boot, or by a socket: the newer stays",
    422: "A parameter is invalid, or the cursor is another instance's",
    429: f"The key calls faster than it may, or {WAITERS_MAX} of its calls wait already; see Retry-After",
    503: "The server restarts, or the database does not answer; see Retry-After",
}
_SAID = {
    200: "Committed, but for what `rejected` names",
    400: "The body is not JSON",
    401: "The key is missing, unknown or revoked",
    403: "The key lacks the scope `agent`, or has made as many names as it may",
    404: "The service lies outside the key's limits",
    405: "Another method than POST",
    409: "The instance has said hello since on a later connection of its boot",
    408: "The body did not arrive in time",
    413: f"More than {APPLIED_MAX} in `applied`, or {BODY_MAX} bytes",
    415: "Another media type than `application/json`, or another content encoding than gzip",
    422: "The hello is invalid",
    429: "The key sends more than it may; see Retry-After",
    503: "Not all was stored; see Retry-After",
}


def agent_schemas(template: str) -> dict[str, Any]:
    """What the two calls refer to."""
    _, components = msgspec.json.schema_components(
        [Hello, HelloWarning, Applied, Desired, RejectedEvent], ref_template=template
    )
    return components


def agent_paths(problem: Problem) -> dict[str, dict[str, Any]]:
    """Both paths with their operations; `problem` gives the answer that tells what went wrong."""
    return {
        "/api/v1/agent/desired": {"get": _get_desired(problem)},
        "/api/v1/agent/applied": {"post": _post_applied(problem)},
    }


def _get_desired(problem: Problem) -> dict[str, Any]:
    parameters = [
        _parameter("service", _NAME, "", required=True),
        _parameter("environment", _NAME, "Default: the key's, else `default`."),
        _parameter("instance", _NAME, "", required=True),
        _parameter("boot", _NAME, "Of the hello: the call is refused once another boot has come."),
        _parameter("after", {"type": "string"}, "A cursor of an earlier answer; without, all."),
        _parameter(
            "wait",
            {"type": "number", "minimum": 0, "maximum": WAIT_MAX_S, "default": WAIT_S},
            "Seconds to wait where nothing changed after the cursor.",
        ),
    ]
    return {
        "operationId": "get_agent_desired",
        "tags": ["agents"],
        "summary": "What is wished of an instance",
        "description": "All of it at once; or, after a cursor, what changed since, as soon as something "
        "has, or nothing at the end of the wait. A sign of life of the instance.",
        "parameters": parameters,
        "responses": _responses(
            _ASKED,
            problem,
            {
                "desired": {"type": "array", "items": {"$ref": "#/components/schemas/Desired"}},
                "cursor": {"type": "string"},
            },
        ),
    }


def _post_applied(problem: Problem) -> dict[str, Any]:
    return {
        "operationId": "post_agent_applied",
        "tags": ["agents"],
        "summary": "A hello, and what became of revisions",
        "description": "A sign of life of the instance. A hello without breakers, of an instance that is known "
        "under this boot, is nothing more. Each of `applied` stands or falls alone. Frames need no `type` here, and "
        "the fields of the hello may stand beside `applied` instead of under `hello`.",
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "required": ["hello"],
                        "properties": {
                            "hello": {"$ref": "#/components/schemas/Hello"},
                            "applied": {
                                "type": "array",
                                "items": {"$ref": "#/components/schemas/Applied"},
                                "maxItems": APPLIED_MAX,
                            },
                            "goodbye": {
                                "type": "boolean",
                                "default": False,
                                "description": "the process ends: its instance is retired",
                            },
                        },
                    }
                }
            },
        },
        "responses": _responses(
            _SAID,
            problem,
            {
                "accepted": {"type": "integer"},
                "rejected": {
                    "type": "array",
                    "items": {"$ref": "#/components/schemas/RejectedEvent"},
                },
                "heartbeat": {
                    "type": "number",
                    "description": "seconds; three without a call, and the instance is not connected",
                },
                "warnings": {
                    "type": "array",
                    "items": {"$ref": "#/components/schemas/HelloWarning"},
                    "description": "what is not believed of the hello; left out where there is nothing",
                },
            },
        ),
    }


def _parameter(
    name: str, schema: dict[str, Any], description: str, *, required: bool = False
) -> dict[str, Any]:
    return {
        "name": name,
        "in": "query",
        "required": required,
        "schema": schema,
        "description": description,
    }


def _responses(
    texts: dict[int, str], problem: Problem, properties: dict[str, Any]
) -> dict[str, Any]:
    required = [name for name in properties if name != "warnings"]
    told = {"type": "object", "required": required, "properties": properties}
    content = {"application/json": {"schema": told}}
    good = {"200": {"description": texts[200], "content": content}}
    return good | {str(status): problem(text) for status, text in texts.items() if status != 200}
