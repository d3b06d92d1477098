"""Errors as RFC 9457 has them."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse, JsonResponse

from breakers.errors import Overloaded

DATABASE_AWAY = Overloaded("The database does not answer. Nothing was changed.", retry_after=2)


def problem(
    status: int, title: str, detail: str, errors: list[dict[str, Any]] | None = None
) -> HttpResponse:
    """An answer of type application/problem+json."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
    }
    if errors is not None:
        body["errors"] = errors
    return JsonResponse(body, status=status, content_type="application/problem+json")
