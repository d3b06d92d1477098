"""Who calls the API, and by what scope: settled before anything else of a call is read."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass

from django.http import HttpRequest
from django.utils import timezone
from ninja.utils import check_csrf

from breakers.access import Actor, actor_of_key, actor_of_person, require
from breakers.errors import Forbidden, Unauthenticated
from breakers.keys import key_hash
from breakers.models import ApiKey, Person, Scope

_SAFE = {"GET", "HEAD", "OPTIONS"}
_USED_EVERY_S = 60


_MADE_HERE = "pb-"
_USABLE = re.compile(rf"(?!{_MADE_HERE})[!-~]{{1,100}}")


def request_id(request: HttpRequest) -> str:
    """The caller's X-Request-ID where usable (1 to 100 printable ASCII characters, no blanks), else a new one.

    Those made here are of one call each: no caller's begins as they do.
    """
    said = request.headers.get("X-Request-ID", "")
    return said if _USABLE.fullmatch(said) else f"{_MADE_HERE}{uuid.uuid4()}"


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


@dataclass(frozen=True, slots=True)
class Needs:
    """For a route's `auth`: whoever lacks the scope is refused, whatever else is wrong with the call."""

    scope: Scope

    def __call__(self, request: HttpRequest) -> Actor:
        actor = authenticate(request)
        require(actor, self.scope)
        return actor


READ, OPERATE, ADMIN = Needs(Scope.READ), Needs(Scope.OPERATE), Needs(Scope.ADMIN)
