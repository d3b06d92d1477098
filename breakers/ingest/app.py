"""`POST /api/v1/events`, as a bare ASGI application: Django's request path costs twenty times as much."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from breakers import asgi
from breakers.access import Actor
from breakers.errors import CallError
from breakers.ingest.endpoint import (
    IngestEndpoint,
    NotUnderstood,
    OutsideLimits,
    media_type,
    read_body,
)
from breakers.ingest.formats import NotUnderstood as FormatError
from breakers.ingest.formats import Split, formats
from breakers.ingest.jobs import Outcome
from breakers.ingest.pace import Pace
from breakers.ingest.queue import Writer
from breakers.ingest.sort import Sorted, sort
from breakers.keyring import Keyring

_LARGE = 16_384
"""Bytes that take about a millisecond."""


class AllRefused(CallError):
    status, title = 422, "No event was accepted"


class IngestApp(IngestEndpoint):
    """Bytes in, an answer after the commit out.

    Large bodies are read one a turn of the loop: to read eight of them takes as long as a commit, in which the writer
    would not hear that PostgreSQL has done its part and waits for more.
    """

    def __init__(self, *, keyring: Keyring, writer: Writer, pace: Pace) -> None:
        super().__init__(keyring=keyring, writer=writer, pace=pace)
        self._reading = asyncio.Lock()

    async def _take(
        self, actor: Actor, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send
    ) -> None:
        split = formats().get(media_type(scope))
        if split is None:
            raise asgi.UnsupportedType(f"Send one of {', '.join(sorted(formats()))}.")
        body = await read_body(scope, receive, limit=asgi.BODY_MAX)
        if len(body) < _LARGE:
            found, total, done = self._take_in(split, body, actor, scope)
        else:
            async with self._reading:
                found, total, done = self._take_in(split, body, actor, scope)
                await asyncio.sleep(0)  # the others wait for the next turn
        duplicates = await self._stored(found, done)
        await _tell(send, found, total=total, duplicates=duplicates)

    def _take_in(
        self, split: Split, body: bytes, actor: Actor, scope: asgi.Scope
    ) -> tuple[Sorted, int, asyncio.Future[list[Outcome]] | None]:
        """What was let in, of how many, and when it is stored."""
        try:
            items = split(body, lambda name: asgi.header(scope, name))
        except FormatError as problem:
            raise NotUnderstood(str(problem)) from problem
        self._admit(actor, len(items))
        found = sort(items, actor, now=datetime.now(UTC))
        return found, len(items), self._submit(found, by=actor)


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
