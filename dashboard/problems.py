"""Errors as RFC 9457 has them."""

from __future__ import annotations

from typing import Any

from django.db import InterfaceError, InternalError, OperationalError
from django.http import HttpResponse, JsonResponse
from psycopg.errors import LockNotAvailable, ReadOnlySqlTransaction

from breakers.errors import Overloaded

DATABASE_ERRORS = (OperationalError, InterfaceError, InternalError)
"""Of which `is_away` says whether they only mean that the database cannot be used now."""
DATABASE_AWAY = Overloaded("The database does not answer. Nothing was changed.", retry_after=2)
IN_DOUBT = Overloaded(
    "The database did not answer at the very end: whether this was carried out is not known. Look before you ask"
    " again; with an Idempotency-Key, ask again with the same.",
    retry_after=2,
)


HELD = Overloaded(
    "Somebody else is changing this and has not done so yet. Nothing was changed.", retry_after=2
)


def is_held(error: BaseException) -> bool:
    """Whether a row was not let go in time."""
    return isinstance(error.__cause__, LockNotAvailable)


def is_away(error: BaseException) -> bool:
    """Whether the database cannot be used now: it is away, a standby that may only be read, or what is wanted of it
    is held by somebody else."""
    if isinstance(error, InternalError):
        return isinstance(error.__cause__, ReadOnlySqlTransaction)
    return isinstance(error, DATABASE_ERRORS)


def problem(
    status: int,
    title: str,
    detail: str,
    errors: list[dict[str, Any]] | None = None,
    **more: str,
) -> HttpResponse:
    """An answer of type application/problem+json; `more` are members of its own."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        **more,
    }
    if errors is not None:
        body["errors"] = errors
    return JsonResponse(body, status=status, content_type="application/problem+json")
