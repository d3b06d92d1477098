"""What every endpoint for events shares: the key, the body within its bounds, the commit, and errors."""

from __future__ import annotations

import asyncio
import math
import time
from abc import ABC, abstractmethod

import psycopg
import structlog
from psycopg_pool import PoolTimeout

from breakers import asgi
from breakers.access import Actor
from breakers.bodies import FREE_MAX, Bodies, Share
from breakers.errors import CallError, Forbidden, Overloaded, TooFast
from breakers.ingest.gzip import BadGzip, expand
from breakers.ingest.jobs import Batch, Outcome, Refused, Stored
from breakers.ingest.pace import Pace
from breakers.ingest.queue import Writer
from breakers.ingest.sort import Sorting
from breakers.keyring import Keyring
from breakers.models import Scope

_log = structlog.get_logger(__name__)
EVENTS_MAX = 1000


Submitted = asyncio.Future[list[Outcome]] | None
"""What becomes of events that were queued; None where there were none."""


class NotUnderstood(CallError):
    status, title = 400, "The body is not what its type says"


class OutsideLimits(CallError):
    status, title = 403, "Outside the key's limits"


class IngestEndpoint(ABC):
    """A bare ASGI application for one POST; a subclass says what its body and its answer are."""

    def __init__(self, *, keyring: Keyring, writer: Writer, pace: Pace, bodies: Bodies) -> None:
        self._keyring = keyring
        self._writer = writer
        self._pace = pace
        self._bodies = bodies

    async def __call__(self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        try:
            if scope["method"] != "POST":
                raise asgi.MethodNotAllowed("POST")
            actor = await self._keyring.actor_of(scope)
            if Scope.INGEST not in actor.can:
                raise Forbidden("This key lacks the scope “ingest”.")
            # Until the answer: what waits to be stored is as large as the body was.
            with self._bodies.share() as share:
                await self._take(actor, scope, receive, send, share)
        except asgi.Disconnected:
            return
        except CallError as problem:
            await asgi.answer_problem(send, problem)
        except (psycopg.OperationalError, PoolTimeout, TimeoutError) as problem:
            _log.warning("events not stored", error=str(problem).strip())
            away = Overloaded("The database does not answer.", retry_after=2)
            await asgi.answer_problem(send, away)

    @abstractmethod
    async def _take(
        self,
        actor: Actor,
        scope: asgi.Scope,
        receive: asgi.Receive,
        send: asgi.Send,
        share: Share,
    ) -> None:
        """From the body to the answer, for a caller who may. Raises CallError."""

    def _admit(self, actor: Actor, events: int) -> None:
        """Raises TooLarge for more than a request may hold, TooFast where the key is ahead of its pace."""
        if events > EVENTS_MAX:
            raise asgi.TooLarge(f"At most {EVENTS_MAX} events a request.")
        wait_s = self._pace.take(actor, events, now=time.monotonic())
        if wait_s > 0:
            raise TooFast("This key sends more events than it may.", retry_after=math.ceil(wait_s))

    def _submit(self, found: Sorting, *, by: Actor) -> Submitted:
        """Queues the events, if there are any."""
        return self._writer.submit(Batch(events=found.events, by=by)) if found.events else None

    async def _stored(self, found: Sorting, done: Submitted) -> int:
        """Waits until they are stored; what the database refuses joins the rejected. The number of repeats."""
        if done is None:
            return 0
        outcomes = await done
        if outcomes.count(Stored.ACCEPTED) == len(outcomes):
            return 0
        duplicates = 0
        for index, outcome in zip(found.indexes, outcomes, strict=True):
            if isinstance(outcome, Refused):
                found.rejected[index] = outcome.errors
            elif outcome is Stored.DUPLICATE:
                duplicates += 1
        return duplicates


def media_type(scope: asgi.Scope) -> str:
    """The content type, without its parameters."""
    said, _, _ = asgi.headers(scope).get(b"content-type", b"").partition(b";")
    return said.strip().lower().decode("latin-1")


async def read_body(scope: asgi.Scope, receive: asgi.Receive, share: Share, *, limit: int) -> bytes:
    """The body of at most `limit` bytes, also once it is expanded. Raises CallError."""
    encoding = asgi.headers(scope).get(b"content-encoding", b"identity").strip().lower()
    if encoding not in (b"identity", b"", b"gzip"):
        raise asgi.UnsupportedType("Send the body as it is, or with gzip.")
    if encoding != b"gzip":
        return await asgi.read_body(scope, receive, share, limit=limit)
    body = await asgi.read_body(scope, receive, share, limit=limit, beside=limit)
    try:
        return await _expanded(body, share, limit=limit)
    except BadGzip as problem:
        raise NotUnderstood(f"The gzip is broken: {problem}.") from problem


async def _expanded(body: bytes, share: Share, *, limit: int) -> bytes:
    if not share.held:
        try:
            return expand(body, limit=FREE_MAX)
        except asgi.TooLarge:
            await share.take(limit)
    expanded = expand(body, limit=limit)
    share.keep(len(expanded))
    return expanded
