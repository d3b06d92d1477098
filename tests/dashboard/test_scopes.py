"""Whoever lacks a call's scope is told so, whatever else is wrong with the call."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from django.test import Client

from dashboard.api import api
from tests.support.make import make_key

OPEN_TO_ALL_KEYS = {("get", "/api/v1/me")}
OF_SERVICES = ("/api/v1/events", "/api/v1/agent/", "/v1/")
"""Served beside Django; see the tests of ingest and of agents."""


def calls() -> Iterator[tuple[str, str]]:
    for path, methods in api.get_openapi_schema()["paths"].items():
        for method in methods:
            if not path.startswith(OF_SERVICES) and (method, path) not in OPEN_TO_ALL_KEYS:
                yield method, path


@pytest.mark.django_db
@pytest.mark.parametrize(("method", "path"), list(calls()))
def test_without_the_scope_nothing_else_of_a_call_is_read(method: str, path: str) -> None:
    _, text = make_key(scopes=["ingest"])
    client = Client(headers={"Authorization": f"Bearer {text}"})

    answer = client.generic(
        method.upper(),
        re.sub(r"\{[^}]+\}", "none", path) + "?limit=many&since=never",
        b"[" if method != "get" else b"",
        content_type="application/json",
    )

    assert (answer.status_code, answer.json()["title"]) == (403, "Not allowed"), answer.content
