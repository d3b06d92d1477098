"""The HTTP API under /api/v1/: who calls, and how what goes wrong is told (RFC 9457)."""

from __future__ import annotations

from typing import Any

import msgspec
from django.db import InterfaceError, InternalError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from ninja.errors import HttpError, ValidationError
from ninja.renderers import BaseRenderer

from alerts.api import router as alerts_router
from breakers.api import router as breakers_router
from breakers.api.auth import authenticate
from breakers.errors import (
    CallError,
    GuardForbids,
    Invalid,
    Overloaded,
    Unauthenticated,
)
from dashboard.openapi import PanelboardAPI
from dashboard.postgresql.base import CommitInDoubt
from dashboard.problems import DATABASE_AWAY, HELD, IN_DOUBT, is_away, is_held, problem


class Renderer(BaseRenderer):
    """One encoder for API and sockets, so that a summary reads the same on both."""

    media_type = "application/json"

    def render(self, request: HttpRequest, data: Any, *, response_status: int) -> bytes:
        return msgspec.json.encode(data, enc_hook=str)


api = PanelboardAPI(
    renderer=Renderer(),
    title="Panelboard",
    version="1",
    urls_namespace="api",
    auth=authenticate,
    docs_url=None,
    openapi_url="/openapi.json",
)


@api.exception_handler(CallError)
def _call_error(request: HttpRequest, error: CallError) -> HttpResponse:
    errors = None
    if isinstance(error, Invalid):
        errors = [{"loc": list(found.loc), "msg": found.msg} for found in error.errors]
    more = {"guard": error.guard} if isinstance(error, GuardForbids) else {}
    response = problem(error.status, error.title, error.detail, errors, **more)
    if isinstance(error, Unauthenticated):
        response["WWW-Authenticate"] = "Bearer"
    if isinstance(error, Overloaded):
        response["Retry-After"] = str(error.retry_after)
    return response


@api.exception_handler(ValidationError)
def _invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
    # Ninja's loc begins with where ("body", "query") and, for a body, with the parameter's name.
    errors = [
        {
            "loc": list(found["loc"][2:] if found["loc"][0] == "body" else found["loc"][1:]),
            "msg": found["msg"].removeprefix("Value error, "),  # pydantic's, before ours
        }
        for found in error.errors
    ]
    return problem(422, Invalid.title, "; ".join(str(found["msg"]) for found in errors), errors)


@api.exception_handler(HttpError)
def _http_error(request: HttpRequest, error: HttpError) -> HttpResponse:
    title = "Bad request" if error.status_code == 400 else "Error"
    return problem(error.status_code, title, str(error))


@api.exception_handler(Http404)
def _not_found(request: HttpRequest, error: Http404) -> HttpResponse:
    return problem(404, "Not found", "There is nothing here.")


@api.exception_handler(OperationalError)
@api.exception_handler(InterfaceError)
@api.exception_handler(InternalError)
def _database_away(request: HttpRequest, error: Exception) -> HttpResponse:
    if not is_away(error):
        raise error
    if is_held(error):
        return _call_error(request, HELD)
    in_doubt = isinstance(error, CommitInDoubt)
    return _call_error(request, IN_DOUBT if in_doubt else DATABASE_AWAY)


api.add_router("", breakers_router)
api.add_router("", alerts_router)
