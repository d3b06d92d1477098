"""API keys: made once, shown once, kept as a hash."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence

from breakers.errors import FieldError, Invalid
from breakers.models import ApiKey, Environment, Person, Scope
from breakers.models.registry import NAME_MAX

_HINT = 8


def key_hash(text: str) -> bytes:
    """The SHA-256 by which a key is looked up."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def create_api_key(
    *,
    name: str,
    scopes: Sequence[str],
    environment: str | None = None,
    services: Sequence[str] | None = None,
    text: str | None = None,
    by: Person | None = None,
) -> tuple[ApiKey, str]:
    """Makes a key and gives its row and its text, which is kept nowhere. An unknown environment is made.

    Raises Invalid for an unknown scope or an unusable name.
    """
    errors = []
    if not (0 < len(name) <= NAME_MAX and name.isprintable()):
        errors.append(FieldError(("name",), f"must be 1 to {NAME_MAX} printable characters"))
    if not scopes:
        errors.append(FieldError(("scopes",), "at least one of " + ", ".join(Scope.values)))
    errors += [
        FieldError(("scopes", at), f"“{scope}” is none of {', '.join(Scope.values)}")
        for at, scope in enumerate(scopes)
        if scope not in Scope.values
    ]
    if environment is not None and not (
        0 < len(environment) <= NAME_MAX and environment.isprintable()
    ):
        errors.append(FieldError(("environment",), f"must be 1 to {NAME_MAX} printable characters"))
    if errors:
        raise Invalid(errors)
    text = text or f"pb_{secrets.token_urlsafe(32)}"
    key = ApiKey.objects.create(
        name=name,
        hash=key_hash(text),
        hint=text[:_HINT],
        scopes=sorted(set(scopes)),
        environment=Environment.objects.get_or_create(name=environment)[0] if environment else None,
        service_names=sorted(set(services)) if services else None,
        created_by=by,
    )
    return key, text
