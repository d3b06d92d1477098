from __future__ import annotations

import pytest
from django.test import Client

pytestmark = pytest.mark.django_db


def test_the_document_is_open_to_all_and_has_the_bare_endpoints_too(client: Client) -> None:
    document = client.get("/api/v1/openapi.json").json()

    events = document["paths"]["/api/v1/events"]["post"]
    assert set(events["responses"]) >= {"202", "400", "401", "403", "413", "415", "422", "503"}
    for path in ("/v1/logs", "/v1/metrics"):
        export = document["paths"][path]["post"]
        assert set(export["requestBody"]["content"]) == {
            "application/x-protobuf",
            "application/json",
        }
    assert "EventIn" in document["components"]["schemas"]
    assert "/api/v1/breakers/{breaker_id}/override" in document["paths"]


def test_every_reference_in_the_document_leads_somewhere(client: Client) -> None:
    document = client.get("/api/v1/openapi.json").json()
    names = document["components"]["schemas"]

    def walk(part: object) -> None:
        if isinstance(part, dict):
            if isinstance(part.get("$ref"), str):
                assert part["$ref"].rpartition("/")[2] in names
            for value in part.values():
                walk(value)
        elif isinstance(part, list):
            for value in part:
                walk(value)

    walk(document)


def test_the_page_of_the_api_lists_every_call_without_signing_in(client: Client) -> None:
    document = client.get("/api/v1/openapi.json").json()
    calls = sum(len(operations) for operations in document["paths"].values())

    page = client.get("/docs/api/")

    assert page.status_code == 200
    assert f"{calls} calls" in page.content.decode()
    assert "POST /api/v1/events" in page.content.decode()
