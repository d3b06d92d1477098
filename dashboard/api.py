"""The HTTP API under /api/v1/: who calls, and how what goes wrong is told (RFC 9457)."""

from __future__ import annotations

import uuid
from typing import Any

import msgspec
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from ninja.errors import HttpError, ValidationError
from ninja.renderers import BaseRenderer
from ninja.utils import check_csrf

from alerts.api import router as alerts_router
from breakers.access import Actor, actor_of_key, actor_of_person
from breakers.api import router as breakers_router
from breakers.errors import CallError, Forbidden, Invalid, Overloaded, Unauthenticated
from breakers.keys import key_hash
from breakers.models import ApiKey, Person
from dashboard.openapi import PanelboardAPI
from dashboard.problems import DATABASE_AWAY, problem

_SAFE = {"GET", "HEAD", "OPTIONS"}
_USED_EVERY_S = 60


def request_id(request: HttpRequest) -> str:
    """The caller's X-Request-ID where usable, else a new one."""
    said = request.headers.get("X-Request-ID", "")
    return said if 0 < len(said) <= 100 and said.isprintable() else str(uuid.uuid4())


def authenticate(request: HttpRequest) -> Actor:
    """The actor of a request, by key or by session; raises Unauthenticated or (CSRF) Forbidden."""
    address, number = request.META.get("REMOTE_ADDR") or None, request_id(request)
    header = request.headers.get("Authorization")
    if header is not None:
        scheme, _, text = header.partition(" ")
        if scheme.lower() != "bearer" or not text.strip():
            raise Unauthenticated("Send “Authorization: Bearer KEY”.")
        key = (
            ApiKey.objects.select_related("environment")
            .filter(hash=key_hash(text.strip()), revoked_at=None)
            .first()
        )
        if key is None:
            raise Unauthenticated("This key is unknown or revoked.")
        now = timezone.now()
        if key.last_used_at is None or (now - key.last_used_at).total_seconds() > _USED_EVERY_S:
            ApiKey.objects.filter(pk=key.pk).update(last_used_at=now)
        return actor_of_key(key, address=address, request_id=number)
    person = request.user
    if not isinstance(person, Person):
        raise Unauthenticated("Sign in, or send “Authorization: Bearer KEY”.")
    if request.method not in _SAFE and check_csrf(request) is not None:
        raise Forbidden("The X-CSRFToken header is missing or wrong.")
    return actor_of_person(person, address=address, request_id=number)


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
    response = problem(error.status, error.title, error.detail, errors)
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
            "msg": found["msg"],
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


@api.exception_handler(InterfaceError)
@api.exception_handler(OperationalError)
def _database_away(request: HttpRequest, error: Exception) -> HttpResponse:
    return _call_error(request, DATABASE_AWAY)


api.add_router("", breakers_router)
api.add_router("", alerts_router)
