"""Which pages may open our sockets: our own."""

from __future__ import annotations

from urllib.parse import urlsplit

from django.conf import settings
from django.http.request import validate_host

from breakers.asgi import Scope, header


def origin_is_ours(scope: Scope) -> bool:
    """Whether the Origin is the trusted one, or that of the host that was asked, by the scheme it was asked by. Programs
    send none, which is ours too; a session is believed with an Origin alone."""
    origin = header(scope, b"origin")
    if origin is None:
        return True
    if origin in settings.CSRF_TRUSTED_ORIGINS:
        return True
    host = header(scope, b"host") or ""
    asked = urlsplit(f"//{host}").hostname or ""
    name = f"[{asked}]" if ":" in asked else asked
    scheme = "https" if scope.get("scheme") == "wss" else "http"
    return origin == f"{scheme}://{host}" and validate_host(name, settings.ALLOWED_HOSTS)
