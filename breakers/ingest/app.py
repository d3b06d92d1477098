"""`POST /api/v1/events`, as a bare ASGI application: Django's request path costs twenty times as much."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from breakers import asgi
from breakers.access import Actor
from breakers.bodies import Bodies, Share
from breakers.errors import CallError, Overloaded
from breakers.ingest.endpoint import (
    IngestEndpoint,
    NotUnderstood,
    OutsideLimits,
    media_type,
    read_body,
)
from breakers.ingest.formats import NotUnderstood as FormatError
from breakers.ingest.formats import formats
from breakers.ingest.pace import Pace
from breakers.ingest.queue import WAITING_MAX, Writer
from breakers.ingest.sort import Sorting
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
        split = formats().get(media_type(scope))
        if split is None:
            raise asgi.UnsupportedType(f"Send one of {', '.join(sorted(formats()))}.")
        body = await read_body(scope, receive, share, limit=asgi.BODY_MAX)
        try:
            items = split(body, lambda name: asgi.header(scope, name))
        except FormatError as problem:
            raise NotUnderstood(str(problem)) from problem
        self._admit(actor, len(items))
        found = Sorting(actor, now=datetime.now(UTC))
        if len(items) <= _FEW:
            found.take(items)
            done = self._submit(found, by=actor)
        else:
            async with self._turn_for(len(items)):
                for start in range(0, len(items), _SOME):
                    found.take(items[start : start + _SOME])
                    await asyncio.sleep(0)
                done = self._submit(found, by=actor)
        duplicates = await self._stored(found, done)
        await _tell(send, found, total=len(items), duplicates=duplicates)

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


async def _tell(send: asgi.Send, found: Sorting, *, total: int, duplicates: int) -> None:
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
