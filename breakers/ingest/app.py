"""`POST /api/v1/events`, as a bare ASGI application: Django's request path costs twenty times as much."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from breakers import asgi
from breakers.access import Actor
from breakers.bodies import Bodies, Share
from breakers.errors import CallError, Overloaded
from breakers.ingest.endpoint import (
    IngestEndpoint,
    NotUnderstood,
    OutsideLimits,
    Submitted,
    media_type,
    read_body,
)
from breakers.ingest.formats import Item, formats
from breakers.ingest.formats import NotUnderstood as FormatError
from breakers.ingest.pace import Pace
from breakers.ingest.queue import WAITING_MAX, Writer
from breakers.ingest.sort import Sorting, sort_one
from breakers.keyring import Keyring

_FEW, _SOME = 10, 50
"""Events that are looked at in no time, and in half a millisecond."""


class AllRefused(CallError):
    status, title = 422, "No event was accepted"


class IngestApp(IngestEndpoint):
    """Bytes in, an answer after the commit out.

    Of many events some are looked at in a turn of the loop: in the ten milliseconds that a thousand take, the writer
    would not hear that PostgreSQL has done its part and waits for more.
    """

    def __init__(self, *, keyring: Keyring, writer: Writer, pace: Pace, bodies: Bodies) -> None:
        super().__init__(keyring=keyring, writer=writer, pace=pace, bodies=bodies)
        self._reading = asyncio.Lock()
        self._unread = 0
        """Events of the requests that wait for their turn to be looked at."""

    async def _take(
        self,
        actor: Actor,
        scope: asgi.Scope,
        receive: asgi.Receive,
        send: asgi.Send,
        share: Share,
    ) -> None:
        media = media_type(scope)
        split = formats().get(media)
        if split is None:
            raise asgi.UnsupportedType(f"Send one of {', '.join(sorted(formats()))}.")
        body = await read_body(scope, receive, share, limit=asgi.BODY_MAX)
        has_envelope = b"ce-specversion" in asgi.headers(scope)
        alone = None
        if media == "application/json" and not has_envelope:
            alone = sort_one(body, actor, now=datetime.now(UTC))
        if alone is not None:
            self._admit(actor, 1)
            found, done = alone, self._submit(alone, by=actor)
        else:
            try:
                items = split(body, lambda name: asgi.header(scope, name))
            except FormatError as problem:
                raise NotUnderstood(str(problem)) from problem
            self._admit(actor, len(items))
            found, done = await self._sort(items, by=actor)
        total = len(found)
        duplicates = await self._stored(found, done)
        await _tell(send, found, total=total, duplicates=duplicates)

    async def _sort(self, items: Sequence[Item], *, by: Actor) -> tuple[Sorting, Submitted]:
        """And queues what is let in."""
        found = Sorting(by, now=datetime.now(UTC))
        if len(items) <= _FEW:
            found.take(items)
            return found, self._submit(found, by=by)
        async with self._turn_for(len(items)):
            for start in range(0, len(items), _SOME):
                found.take(items[start : start + _SOME])
                await asyncio.sleep(0)
            return found, self._submit(found, by=by)

    @contextlib.asynccontextmanager
    async def _turn_for(self, events: int) -> AsyncIterator[None]:
        """Raises Overloaded where more wait already than are to wait for the database."""
        if self._unread + events > WAITING_MAX:
            raise Overloaded("Too much waits to be looked at.", retry_after=2)
        self._unread += events
        try:
            async with self._reading:
                yield
        finally:
            self._unread -= events


@lru_cache(maxsize=4096)
def _all_stored(accepted: int, duplicates: int) -> asgi.Answer:
    return asgi.answer_of(
        202, asgi.encode({"accepted": accepted, "duplicates": duplicates, "rejected": []})
    )


async def _tell(send: asgi.Send, found: Sorting, *, total: int, duplicates: int) -> None:
    if not found.rejected:
        for message in _all_stored(total - duplicates, duplicates):
            await send(message)
        return
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
