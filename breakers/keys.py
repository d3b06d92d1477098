"""API keys: made once, shown once, kept as a hash; each change of one is in the audit log."""

from __future__ import annotations

import hashlib
import secrets
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Count, QuerySet

from breakers.access import Actor
from breakers.audit import record
from breakers.errors import FieldError, Invalid, NotFound
from breakers.models import ApiKey, Breaker, Environment, Instance, Scope, Service
from breakers.models.registry import NAME_MAX

_HINT = 8
_LIMIT_MAX = 10**9
_NAME = f"must be 1 to {NAME_MAX} printable characters"


def key_hash(text: str) -> bytes:
    """The SHA-256 by which a key is looked up."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def create_api_key(
    *,
    name: str,
    scopes: Sequence[str],
    by: Actor,
    environment: str | None = None,
    services: Sequence[str] | None = None,
    events_per_second: int | None = None,
    names_max: int | None = None,
    text: str | None = None,
) -> tuple[ApiKey, str]:
    """Makes a key and gives its row and its text, which is kept nowhere. An unknown environment is made.

    Limits of None are those of any key. Raises Invalid for an unknown scope, an unusable name or limit, and
    what lies outside the maker's environments or services.
    """
    errors = _wrong(name=name, scopes=scopes, environment=environment, services=services)
    errors += _wrong_limits(events_per_second=events_per_second, names_max=names_max)
    if by.environments is not None and environment not in by.environments:
        errors.append(
            FieldError(("environment",), f"one of yours: {', '.join(sorted(by.environments))}")
        )
    if by.services is not None and not (services and by.services.issuperset(services)):
        errors.append(FieldError(("services",), f"some of yours: {', '.join(sorted(by.services))}"))
    if errors:
        raise Invalid(errors)
    text = text or f"pb_{secrets.token_urlsafe(32)}"
    with transaction.atomic():
        key = ApiKey.objects.create(
            name=name,
            hash=key_hash(text),
            hint=text[:_HINT],
            scopes=sorted(set(scopes)),
            environment=Environment.objects.get_or_create(name=environment)[0]
            if environment
            else None,
            service_names=sorted(set(services)) if services else None,
            events_per_second=events_per_second,
            names_max=names_max,
            created_by_id=by.person,
        )
        record(by, "create_key", kind="key", id=key.pk, subject=key.name, after=told(key))
    return key, text


def keys_for(actor: Actor) -> QuerySet[ApiKey]:
    """The keys that reach nowhere else than the actor does."""
    keys = ApiKey.objects.select_related("environment", "created_by")
    if actor.environments is not None:
        keys = keys.filter(environment__name__in=actor.environments)
    if actor.services is not None:
        keys = keys.filter(service_names__contained_by=sorted(actor.services))
    return keys


def _valid_key(key_id: int, by: Actor) -> ApiKey:
    """Locked. Raises NotFound."""
    locked = keys_for(by).select_for_update(no_key=True, of=("self",))
    key = locked.filter(pk=key_id, revoked_at=None).first()
    if key is None:
        raise NotFound("No such key.")
    return key


def limit_api_key(
    key_id: int, *, events_per_second: int | None, names_max: int | None, by: Actor
) -> ApiKey:
    """Sets what a key may send and make, from within 5 s on; None: as much as any key. Raises Invalid, and
    NotFound where no such key is valid within the actor's environments."""
    errors = _wrong_limits(events_per_second=events_per_second, names_max=names_max)
    if errors:
        raise Invalid(errors)
    with transaction.atomic():
        key = _valid_key(key_id, by)
        before = told(key)
        key.events_per_second, key.names_max = events_per_second, names_max
        key.save(update_fields=["events_per_second", "names_max"])
        record(
            by,
            "change_key",
            kind="key",
            id=key.pk,
            subject=key.name,
            before=before,
            after=told(key),
        )
    return key


def names_made() -> Counter[int]:
    """How many of the names that count towards a key's bound there are, by the key's id."""
    made: Counter[int] = Counter()
    for rows in (
        Service.objects.all(),
        Breaker.objects.all(),
        Instance.objects.filter(retired_at=None),
    ):
        counted = rows.exclude(made_by=None).values_list("made_by").annotate(Count("id"))
        made.update(dict(counted.order_by()))
    return made


def revoke_api_key(key_id: int, *, by: Actor, now: datetime) -> ApiKey:
    """Whatever uses it is refused within seconds, for good. Raises NotFound where no such key is valid
    within the actor's environments."""
    with transaction.atomic():
        key = _valid_key(key_id, by)
        before = told(key)
        key.revoked_at = now
        key.save(update_fields=["revoked_at"])
        record(
            by,
            "revoke_key",
            kind="key",
            id=key.pk,
            subject=key.name,
            before=before,
            after=told(key),
        )
    return key


def ensure_api_key(*, name: str, scopes: Sequence[str], text: str, by: Actor) -> None:
    """A valid key with this very text, these scopes and no limits exists afterwards."""
    with transaction.atomic():
        key = (
            ApiKey.objects.select_for_update(no_key=True, of=("self",))
            .select_related("environment")
            .filter(hash=key_hash(text))
            .first()
        )
        if key is None:
            create_api_key(name=name, scopes=scopes, text=text, by=by)
            return
        before = told(key)
        key.revoked_at, key.environment, key.service_names = None, None, None
        key.events_per_second, key.names_max = None, None
        key.scopes = sorted(set(scopes))
        if told(key) == before:
            return
        key.save()
        record(
            by,
            "change_key",
            kind="key",
            id=key.pk,
            subject=key.name,
            before=before,
            after=told(key),
        )


def told(key: ApiKey) -> dict[str, Any]:
    """What a key may, as JSON for the audit log."""
    return {
        "scopes": key.scopes,
        "environment": key.environment.name if key.environment else None,
        "services": key.service_names,
        "events_per_second": key.events_per_second,
        "names_max": key.names_max,
        "revoked": key.revoked_at is not None,
    }


def _wrong(
    *,
    name: str,
    scopes: Sequence[str],
    environment: str | None,
    services: Sequence[str] | None,
) -> list[FieldError]:
    errors = []
    if not _is_name(name):
        errors.append(FieldError(("name",), _NAME))
    if not scopes:
        errors.append(FieldError(("scopes",), "at least one of " + ", ".join(Scope.values)))
    errors += [
        FieldError(("scopes", at), f"“{scope}” is none of {', '.join(Scope.values)}")
        for at, scope in enumerate(scopes)
        if scope not in Scope.values
    ]
    if environment is not None and not _is_name(environment):
        errors.append(FieldError(("environment",), _NAME))
    errors += [
        FieldError(("services", at), f"each {_NAME}")
        for at, service in enumerate(services or ())
        if not _is_name(service)
    ]
    return errors


def _wrong_limits(**limits: int | None) -> list[FieldError]:
    return [
        FieldError((name,), f"must be 1 to {_LIMIT_MAX}")
        for name, limit in limits.items()
        if limit is not None and not 1 <= limit <= _LIMIT_MAX
    ]


def _is_name(text: str) -> bool:
    return 0 < len(text) <= NAME_MAX and text.isprintable()
