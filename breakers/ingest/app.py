"""`POST /api/v1/events`, as a bare ASGI application: Django's request path costs twenty times as much."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg
import structlog
from psycopg_pool import PoolTimeout

from breakers import asgi
from breakers.access import Actor
from breakers.errors import CallError, FieldError, Forbidden, Overloaded
from breakers.ingest.formats import Item, formats
from breakers.ingest.formats import NotUnderstood as FormatError
from breakers.ingest.gzip import BadGzip, expand
from breakers.ingest.jobs import Batch, Refused, Stored
from breakers.ingest.queue import Writer
from breakers.ingest.validate import Clock, decoder_of, enveloped, happened_from_api
from breakers.keyring import Keyring
from breakers.models import Scope
from breakers.wire import EventIn, Happened

_log = structlog.get_logger(__name__)
BODY_MAX = 1024 * 1024
EVENTS_MAX = 1000
_CHUNK_S, _BODY_S, _COMMIT_S = 10, 30, 20
_read = decoder_of(EventIn)


class NotUnderstood(CallError):
    status, title = 400, "The body is not what its type says"


class AllRefused(CallError):
    status, title = 422, "No event was accepted"


class OutsideLimits(CallError):
    status, title = 403, "Outside the key's limits"


@dataclass
class Sorted:
    """The events of one request: those let in, and the rest with the reasons, by their index."""

    indexes: list[int] = field(default_factory=list)
    events: list[Happened] = field(default_factory=list)
    rejected: dict[int, tuple[FieldError, ...]] = field(default_factory=dict)
    outside: int = 0


class IngestApp:
    """Bytes in, an answer after the commit out."""

    def __init__(self, *, keyring: Keyring, writer: Writer) -> None:
        self._keyring = keyring
        self._writer = writer

    async def __call__(self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        try:
            await self._serve(scope, receive, send)
        except asgi.Disconnected:
            return
        except CallError as problem:
            await asgi.answer_problem(send, problem)
        except (psycopg.OperationalError, PoolTimeout, TimeoutError) as problem:
            _log.warning("events not stored", error=str(problem).strip())
            away = Overloaded("The database does not answer.", retry_after=2)
            await asgi.answer_problem(send, away)

    async def _serve(self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        if scope["method"] != "POST":
            raise asgi.MethodNotAllowed("POST")
        actor = await self._keyring.actor_of(scope)
        if Scope.INGEST not in actor.can:
            raise Forbidden("This key lacks the scope “ingest”.")
        media = (asgi.header(scope, b"content-type") or "").partition(";")[0].strip().lower()
        split = formats().get(media)
        if split is None:
            raise asgi.UnsupportedType(f"Send one of {', '.join(sorted(formats()))}.")
        body = await _body(scope, receive)
        try:
            items = split(body, lambda name: asgi.header(scope, name))
        except FormatError as problem:
            raise NotUnderstood(str(problem)) from problem
        if len(items) > EVENTS_MAX:
            raise asgi.TooLarge(f"At most {EVENTS_MAX} events a request.")
        found = sort(items, actor, now=datetime.now(UTC))
        duplicates = await self._commit(found)
        await _tell(send, found, total=len(items), duplicates=duplicates)

    async def _commit(self, found: Sorted) -> int:
        """Stores the events; what the database refuses joins the rejected. The number of repeats."""
        if not found.events:
            return 0
        async with asyncio.timeout(_COMMIT_S):
            outcomes = await self._writer.commit(Batch(events=found.events))
        duplicates = 0
        for index, outcome in zip(found.indexes, outcomes, strict=True):
            if isinstance(outcome, Refused):
                found.rejected[index] = outcome.errors
            elif outcome is Stored.DUPLICATE:
                duplicates += 1
        return duplicates


async def _body(scope: asgi.Scope, receive: asgi.Receive) -> bytes:
    length = asgi.header(scope, b"content-length")
    if length is not None and length.isdigit() and int(length) > BODY_MAX:
        raise asgi.TooLarge(f"At most {BODY_MAX} bytes a request.")
    encoding = (asgi.header(scope, b"content-encoding") or "identity").strip().lower()
    if encoding not in ("identity", "gzip"):
        raise asgi.UnsupportedType("Send the body as it is, or with gzip.")
    body = await asgi.read_body(receive, limit=BODY_MAX, chunk_s=_CHUNK_S, total_s=_BODY_S)
    if encoding == "identity":
        return body
    try:
        return expand(body, limit=BODY_MAX)
    except BadGzip as problem:
        raise NotUnderstood(f"The gzip is broken: {problem}.") from problem


def sort(items: Sequence[Item], actor: Actor, *, now: datetime) -> Sorted:
    """Each event by itself: let in, or rejected with every reason. Pure."""
    found = Sorted()
    clock = Clock(now)
    environments = actor.environments
    default = next(iter(environments)) if environments and len(environments) == 1 else "default"
    for index, item in enumerate(items):
        body = list(item.errors) or _read(item.raw)
        if isinstance(body, list):
            found.rejected[index] = tuple(body)
            continue
        if item.id is not None:
            body = enveloped(body, id=item.id, occurred_at=item.occurred_at)
            if isinstance(body, list):
                found.rejected[index] = tuple(body)
                continue
        event = happened_from_api(body, default_environment=default, clock=clock)
        if isinstance(event, list):
            found.rejected[index] = tuple(event)
        elif not actor.may_touch(environment=event.environment, service=event.service):
            found.outside += 1
            found.rejected[index] = (_outside(actor, event),)
        else:
            found.indexes.append(index)
            found.events.append(event)
    return found


def _outside(actor: Actor, event: Happened) -> FieldError:
    inside = actor.environments is None or event.environment in actor.environments
    return FieldError(("service" if inside else "environment",), "lies outside this key's limits")


async def _tell(send: asgi.Send, found: Sorted, *, total: int, duplicates: int) -> None:
    told: dict[str, Any] = {
        "accepted": total - len(found.rejected) - duplicates,
        "duplicates": duplicates,
        "rejected": [
            {"index": index, "errors": [{"loc": e.loc, "msg": e.msg} for e in errors]}
            for index, errors in sorted(found.rejected.items())
        ],
    }
    if total and len(found.rejected) == total:
        if found.outside == total:
            await asgi.answer_problem(
                send, OutsideLimits("All events lie outside this key's limits."), **told
            )
        else:
            await asgi.answer_problem(send, AllRefused("See “rejected” for each event."), **told)
        return
    await asgi.answer(send, 202, asgi.encode(told))
