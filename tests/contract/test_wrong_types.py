"""What is said in the wrong type of JSON is refused with its place, by every call that takes a body."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from dashboard.api import api
from tests.support.make import make_breaker, make_key

pytestmark = pytest.mark.django_db

WRONG: dict[str, list[Any]] = {
    "boolean": ["yes", "true", 1, 0, [], {}],
    "integer": ["600", True, 1.5, [], {}],
    "number": ["600", True, [], {}],
    "string": [7, True, [], {}],
    "array": ["a", 7, True, {}],
    "object": ["a", 7, True, []],
    "time": [4_000_000_000, "4000000000", 1.5, True, "2999-01-01T00:00:00", []],
}
"""By the type that is right."""
Schema = dict[str, Any]
DOCUMENT = api.get_openapi_schema()
SCHEMAS: dict[str, Schema] = DOCUMENT["components"]["schemas"]


def types_of(schema: Schema) -> set[str]:
    """All that a value may be; of one that may be anything, nothing."""
    schema = resolved(schema)
    some = schema.get("anyOf") or schema.get("allOf")
    if some:
        return {kind for one in some for kind in types_of(one)}
    if schema.get("format") == "date-time":
        return {"time"}
    return {schema["type"]} if "type" in schema else set()


def resolved(schema: Schema) -> Schema:
    return SCHEMAS[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def objects_in(schema: Schema) -> Schema | None:
    """The schema of the object that a value may be."""
    for one in (schema, *schema.get("anyOf", ()), *schema.get("allOf", ())):
        if resolved(one).get("properties"):
            return resolved(one)
    return None


def wrong_values(schema: Schema, *loc: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each place in an object, and what is of the wrong type there."""
    for name, inner in schema.get("properties", {}).items():
        kinds = types_of(inner) - {"null"}
        if not kinds:
            continue
        right = [WRONG[kind] for kind in kinds]
        for value in right[0]:
            if all(value in some for some in right):
                yield (*loc, name), value
        below = objects_in(inner)
        # What is in these a kind of rule or channel knows, once all else is right.
        if below is not None and name not in ("params", "config"):
            yield from wrong_values(below, *loc, name)


def bodies() -> Iterator[tuple[str, str, Schema]]:
    for path, operations in DOCUMENT["paths"].items():
        for method, operation in operations.items():
            content = operation.get("requestBody", {}).get("content", {})
            schema = content.get("application/json", {}).get("schema")
            body = objects_in(schema) if schema else None
            # Events and agents are answered by other means than Django's.
            if body is not None and not path.startswith(("/api/v1/agent/", "/api/v1/events")):
                yield method, path, body


CALLS = {f"{method} {path}": (method, path, body) for method, path, body in bodies()}


@pytest.mark.parametrize("call", CALLS)
def test_a_wrong_type_is_refused_with_its_place(client: Client, call: str) -> None:
    method, path, schema = CALLS[call]
    breaker = make_breaker()
    _, key = make_key(name="k", scopes=["read", "operate", "admin"])
    where = path.replace("{breaker_id}", str(breaker.pk)).replace("{name}", "prod")
    for loc, value in wrong_values(schema):
        body: Any = value
        for name in reversed(loc):
            body = {name: body}

        answer = client.generic(
            method.upper(),
            where.replace("{", "").replace("}", ""),
            api.renderer.render(None, body, response_status=0),  # type: ignore[arg-type]
            content_type="application/json",
            headers={"Authorization": f"Bearer {key}"},
        )

        assert answer.status_code == 422, (loc, value, answer.content)
        said = [tuple(error["loc"][: len(loc)]) for error in answer.json()["errors"]]
        assert loc in said, (loc, value, said)
