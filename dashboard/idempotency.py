"""`Idempotency-Key` on the POSTs of the API: the first answer is given again for 24 hours.

As draft-ietf-httpapi-idempotency-key-header has it: the same key with another body is 422, and while the first
call is still being carried out, 409. Only an answer of success is kept. What was refused changed nothing, so that
it may be asked again with the same key, mended. The effect and its answer are committed in one transaction, but
for what sends over the network, which holds none open: if the server dies there, it is carried out again.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Callable
from datetime import timedelta

import msgspec
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from alerts.sealing import SecretsUnreadable, seal, unseal
from breakers.access import Actor
from breakers.api.auth import authenticate
from breakers.errors import CallError, Forbidden
from breakers.models import KeptAnswer
from breakers.models.idempotency import KEPT_FOR
from dashboard.api import api
from dashboard.problems import DATABASE_ERRORS, problem

Respond = Callable[[HttpRequest], HttpResponse]
KEYS_MOST = 10_000
"""Of one actor within that time: seven a minute, around the clock."""
BODY_MOST = 4 * 1024 * 1024
"""Ten times the answer for a thousand breakers of a dozen instances each."""
_TAKEN_OVER_AFTER = timedelta(seconds=60)
"""A call over the network takes 15 s at most: what is still "being carried out" then, died with its server."""
_KEY_MOST = 200
_OVER_THE_NETWORK = re.compile(r"/api/v1/channels/[^/]+/test")
_API = "/api/v1/"


class IdempotencyMiddleware:
    """Innermost, so that it knows the session and sees what the API answers."""

    def __init__(self, get_response: Respond) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        said = request.headers.get("Idempotency-Key")
        if said is None or request.method != "POST" or not request.path.startswith(_API):
            return self._get_response(request)
        try:
            return self._once(request, said)
        except (CallError, *DATABASE_ERRORS) as problem:
            return api.on_exception(request, problem)

    def _once(self, request: HttpRequest, said: str) -> HttpResponse:
        actor = authenticate(request)
        # A structured string has quotes around it; without them it means the same.
        key = said.strip().strip('"')
        if not (0 < len(key) <= _KEY_MOST and key.isascii() and key.isprintable()):
            text = f"must be 1 to {_KEY_MOST} printable ASCII characters"
            errors = [{"loc": ["Idempotency-Key"], "msg": text}]
            return problem(422, "Invalid input", f"Idempotency-Key {text}", errors)
        kept = KeptAnswer(
            actor_kind=actor.kind,
            actor_id=actor.id,
            path=request.path[:500],
            key=key,
            asked=_asked(request),
        )
        if _OVER_THE_NETWORK.fullmatch(request.path):
            return self._apart(request, kept, actor)
        return self._together(request, kept, actor)

    def _together(self, request: HttpRequest, kept: KeptAnswer, actor: Actor) -> HttpResponse:
        """Effect and answer in one transaction, under a lock that a second call does not wait for."""
        with transaction.atomic():
            if not _lock(kept):
                return _running()
            earlier = _earlier(kept)
            if earlier is not None:
                return _again(earlier, kept, actor)
            if _too_many(kept):
                return _full()
            response = self._get_response(request)
            if response.status_code >= 500:
                transaction.set_rollback(True)
            elif response.status_code < 300:
                _keep(kept, response, actor)
                kept.save()
        return response

    def _apart(self, request: HttpRequest, kept: KeptAnswer, actor: Actor) -> HttpResponse:
        """The claim is committed before, the answer after."""
        with transaction.atomic():
            if not _lock(kept):
                return _running()
            earlier = _earlier(kept)
            if earlier is not None:
                return _again(earlier, kept, actor)
            if _too_many(kept):
                return _full()
            kept.save()
        try:
            response = self._get_response(request)
        except BaseException:
            kept.delete()
            raise
        if response.status_code < 300:
            _keep(kept, response, actor)
            KeptAnswer.objects.filter(pk=kept.pk).update(status=kept.status, sealed=kept.sealed)
        else:
            kept.delete()
        return response


def _asked(request: HttpRequest) -> str:
    """A digest of query and body; JSON that means the same counts as the same."""
    try:
        body = msgspec.json.encode(msgspec.json.decode(request.body), order="sorted")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        body = request.body
    query = request.META.get("QUERY_STRING", "").encode()
    return hashlib.sha256(query + b"\0" + body).hexdigest()


def _lock(kept: KeptAnswer) -> bool:
    """Until the end of the transaction; False if another call has it."""
    name = f"{kept.actor_kind} {kept.actor_id} {kept.path} {kept.key}"
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [number])
        (free,) = cursor.fetchone() or (False,)
    return bool(free)


def _earlier(kept: KeptAnswer) -> KeptAnswer | None:
    """What was answered under this key; what is too old, or died on the way, is forgotten."""
    earlier = KeptAnswer.objects.filter(
        actor_kind=kept.actor_kind, actor_id=kept.actor_id, path=kept.path, key=kept.key
    ).first()
    if earlier is None:
        return None
    age = timezone.now() - earlier.created_at
    if age > (KEPT_FOR if earlier.status else _TAKEN_OVER_AFTER):
        earlier.delete()
        return None
    return earlier


def _too_many(kept: KeptAnswer) -> bool:
    of_actor = KeptAnswer.objects.filter(
        actor_kind=kept.actor_kind,
        actor_id=kept.actor_id,
        created_at__gt=timezone.now() - KEPT_FOR,
    )
    return of_actor.count() >= KEYS_MOST


def _keep(kept: KeptAnswer, response: HttpResponse, actor: Actor) -> None:
    kept.status = response.status_code
    if len(response.content) <= BODY_MOST:
        text = zlib.compress(response.content, 3)
        kept.sealed = seal(
            {"body": text, "type": response.get("Content-Type", ""), "rights": _rights(actor)}
        )


def _again(earlier: KeptAnswer, kept: KeptAnswer, actor: Actor) -> HttpResponse:
    if earlier.asked != kept.asked:
        text = "was used for another call: take a new one"
        errors = [{"loc": ["Idempotency-Key"], "msg": text}]
        return problem(422, "Invalid input", f"This Idempotency-Key {text}.", errors)
    if earlier.status is None:
        return _running()
    try:
        said = unseal(earlier.sealed)
        body = zlib.decompress(msgspec.convert(said["body"], bytes, strict=False))
    except (SecretsUnreadable, KeyError):
        return problem(409, "Conflict", "This was carried out; its answer can no longer be given.")
    if said.get("rights") != _rights(actor):
        raise Forbidden("Your rights are others than when this was carried out.")
    response = HttpResponse(body, status=earlier.status, content_type=said["type"])
    response["Idempotent-Replayed"] = "true"
    return response


def _rights(actor: Actor) -> list[list[str] | None]:
    """What an answer was given by: whoever may less by now is not told again what was told then."""
    of = (actor.can, actor.environments, actor.services)
    return [None if some is None else sorted(some) for some in of]


def _running() -> HttpResponse:
    response = problem(409, "Conflict", "The first call with this Idempotency-Key still runs.")
    response["Retry-After"] = "1"
    return response


def _full() -> HttpResponse:
    text = (
        f"At most {KEYS_MOST:,} Idempotency-Keys in 24 hours; without one the call is carried out."
    )
    response = problem(429, "Too many keys", text)
    response["Retry-After"] = "3600"
    return response
