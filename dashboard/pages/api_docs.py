"""`/docs/api/`: the API's own description, as a page. Open to all, for it names no service."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from dashboard.api import api


@dataclass(frozen=True, slots=True)
class Operation:
    """One call: what to send, and what comes back."""

    method: str
    path: str
    anchor: str
    summary: str
    description: str
    parameters: list[dict[str, Any]]
    body: str
    answers: list[tuple[str, str]]


@require_safe
def api_page(request: HttpRequest) -> HttpResponse:
    schema = api.get_openapi_schema()
    groups: dict[str, list[Operation]] = {}
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            group = (operation.get("tags") or ["other"])[0]
            groups.setdefault(group, []).append(_operation(schema, method, path, operation))
    return render(
        request,
        "docs/api.html",
        {"groups": groups, "count": sum(len(found) for found in groups.values())},
    )


def _operation(schema: Any, method: str, path: str, operation: dict[str, Any]) -> Operation:
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    return Operation(
        method=method.upper(),
        path=path,
        anchor=operation["operationId"],
        summary=operation.get("summary", ""),
        description=operation.get("description", ""),
        parameters=[
            {
                "name": one["name"],
                "where": one["in"],
                "required": one.get("required", False),
                "type": _type(one.get("schema", {})),
            }
            for one in operation.get("parameters", [])
        ],
        body=json.dumps(_resolved(schema, body["schema"]), indent=2) if body else "",
        answers=[
            (status, answer.get("description", ""))
            for status, answer in operation["responses"].items()
            if status != "default"
        ],
    )


def _type(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    return str(schema.get("format") or schema.get("type") or "any")


def _resolved(schema: Any, part: Any, depth: int = 0) -> Any:
    """The part with its references filled in, a few levels deep."""
    if isinstance(part, list):
        return [_resolved(schema, one, depth) for one in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part and depth < 4:
        name = part["$ref"].rpartition("/")[2]
        return _resolved(schema, schema["components"]["schemas"][name], depth + 1)
    return {key: _resolved(schema, value, depth) for key, value in part.items() if key != "title"}
