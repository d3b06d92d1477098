from __future__ import annotations

import pytest
from django.test import Client

from tests.support.make import make_key

pytestmark = pytest.mark.django_db


@pytest.fixture
def bearer() -> dict[str, str]:
    _, text = make_key(name="k", scopes=["read", "operate"])
    return {"Authorization": f"Bearer {text}"}


@pytest.mark.parametrize(
    "path",
    [
        "breakers?q=%00",
        "breakers?service=a%00b",
        "audit?actor=%00",
        "breakers?cursor=%00",
        "incidents?status=%00",
    ],
)
def test_nul_in_a_query_is_invalid_input(client: Client, bearer: dict[str, str], path: str) -> None:
    answer = client.get(f"/api/v1/{path}", headers=bearer)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == ["query"]


@pytest.mark.parametrize("path", ["nothing", "breakers/1/nothing", "breakers/%00"])
def test_an_unknown_path_of_the_api_is_a_problem(
    client: Client, bearer: dict[str, str], path: str
) -> None:
    answer = client.get(f"/api/v1/{path}", headers=bearer)

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == 404


def test_an_unknown_method_of_the_api_is_a_problem_that_names_the_others(
    client: Client, bearer: dict[str, str]
) -> None:
    answer = client.post("/api/v1/breakers", headers=bearer)

    assert answer.status_code == 405
    assert answer.json()["title"] == "Method Not Allowed"
    assert "GET" in answer.headers["allow"]


def test_a_body_that_is_no_json_is_a_bad_request(client: Client, bearer: dict[str, str]) -> None:
    answer = client.put(
        "/api/v1/breakers/1/override", "{", content_type="application/json", headers=bearer
    )

    assert answer.status_code == 400
    assert answer.json()["status"] == 400
