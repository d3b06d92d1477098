"""The built front end under /static/, served by a bare application: no middleware, far-future caching."""

from __future__ import annotations

import re
from collections.abc import MutableMapping

from servestatic.asgi import ServeStaticASGI

from dashboard.pages.tags import BUILD

PREFIX = "/static/"
_HASHED = re.compile(r"-[A-Z0-9]{8}\.(js|css|woff2)$")


def _immutable(path: str, url: str) -> bool:
    """A name with the content's hash in it never means another content."""
    return _HASHED.search(url) is not None


def _headers(headers: MutableMapping[str, str], path: str, url: str) -> None:
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Cross-Origin-Resource-Policy"] = "same-origin"


# Files are looked up when asked for, so that a new build needs no restart; 404 for all else under it.
static_files = ServeStaticASGI(
    None,
    root=BUILD.parent,
    prefix=PREFIX,
    autorefresh=True,
    allow_all_origins=False,
    immutable_file_test=_immutable,
    add_headers_function=_headers,
)
