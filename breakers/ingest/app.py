"""`POST /api/v1/events`, as a bare ASGI application: Django's request path costs twenty times as much."""

from __future__ import annotations

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
from breakers.ingest.formats import formats
from breakers.ingest.sort import Sorted, sort


class AllRefused(CallError):
    status, title = 422, "No event was accepted"


class IngestApp(IngestEndpoint):
    """Bytes in, an answer after the commit out."""

    async def _take(
        self, actor: Actor, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send
    ) -> None:
        split = formats().get(media_type(scope))
        if split is None:
            raise asgi.UnsupportedType(f"Send one of {', '.join(sorted(formats()))}.")
        body = await read_body(scope, receive, limit=asgi.BODY_MAX)
        try:
            items = split(body, lambda name: asgi.header(scope, name))
        except FormatError as problem:
            raise NotUnderstood(str(problem)) from problem
        self._admit(actor, len(items))
        found = sort(items, actor, now=datetime.now(UTC))
        duplicates = await self._commit(found, by=actor)
        await _tell(send, found, total=len(items), duplicates=duplicates)


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
