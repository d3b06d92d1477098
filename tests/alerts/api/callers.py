"""Calling the API as anyone would: over HTTP paths, with a key."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from django.test import Client

from tests.support.make import make_key

ALL = ("read", "operate", "admin")


class Caller:
    """One key's view of the API; answers are (status, JSON)."""

    def __init__(
        self,
        scopes: Sequence[str] = ALL,
        *,
        environment: str | None = None,
        services: Sequence[str] | None = None,
    ) -> None:
        _, self._key = make_key(
            name="test", scopes=scopes, environment=environment, services=services
        )
        self._client = Client()

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        answer = self.raw(method, path, body, **headers)
        return answer.status_code, json.loads(answer.content) if answer.content else None

    def raw(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """The answer itself. `headers` have underscores for dashes."""
        return self._client.generic(
            method,
            f"/api/v1{path}",
            data=b"" if body is None else json.dumps(body).encode(),
            content_type="application/json",
            headers={"Authorization": f"Bearer {self._key}", **headers},
        )

    def get(self, path: str) -> Any:
        status, said = self("GET", path)
        assert status == 200, said
        return said

    def post(self, path: str, body: Any = None, *, status: int = 201) -> Any:
        got, said = self("POST", path, body)
        assert got == status, said
        return said
