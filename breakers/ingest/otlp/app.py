"""`POST /v1/logs` and `/v1/metrics`: OTLP over HTTP, of which only what breakers do is taken in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import cast

from breakers import asgi
from breakers.access import Actor
from breakers.bodies import Bodies, Share
from breakers.db import Pool
from breakers.ingest.endpoint import (
    IngestEndpoint,
    NotUnderstood,
    OutsideLimits,
    media_type,
    read_body,
)
from breakers.ingest.formats import Item
from breakers.ingest.otlp import logs, messages, polly
from breakers.ingest.otlp.memory import Memory, events_of_turns, recall, remember, snapshots
from breakers.ingest.otlp.messages import MEDIA_TYPES, Media
from breakers.ingest.pace import Pace
from breakers.ingest.queue import Writer
from breakers.ingest.sort import Sorting, sort
from breakers.keyring import Keyring

# What OpenTelemetry's own receivers take by default; most of an export is not about breakers.
BODY_MAX = 4 * 1024 * 1024
_REASONS_TOLD = 5


async def _read(
    scope: asgi.Scope,
    receive: asgi.Receive,
    share: Share,
    decode: Callable[[bytes, Media], object],
) -> tuple[object, Media]:
    media = cast(Media, media_type(scope))
    if media not in MEDIA_TYPES:
        raise asgi.UnsupportedType(f"Send one of {', '.join(MEDIA_TYPES)}.")
    body = await read_body(scope, receive, share, limit=BODY_MAX)
    try:
        return decode(body, media), media
    except messages.NotUnderstood as problem:
        raise NotUnderstood(str(problem)) from problem


class LogsApp(IngestEndpoint):
    """Log records with our event name are events; the rest is ignored."""

    async def _take(
        self,
        actor: Actor,
        scope: asgi.Scope,
        receive: asgi.Receive,
        send: asgi.Send,
        share: Share,
    ) -> None:
        request, media = await _read(scope, receive, share, messages.logs_request)
        found = logs.events_of(
            cast(messages.LogsRequest, request), default_environment=actor.default_environment
        )
        self._admit(actor, len(found.items))
        sorted_ = _sort(found.items, actor)
        await self._stored(sorted_, self._submit(sorted_, by=actor))
        message = _message(sorted_, ignored=found.ignored, what="log records")
        answer = messages.logs_answer(media, rejected=len(sorted_.rejected), message=message)
        await asgi.answer(send, 200, answer, media=media.encode())


class MetricsApp(IngestEndpoint):
    """What Polly's meter says becomes state changes and snapshots; the rest is ignored."""

    def __init__(
        self, *, keyring: Keyring, writer: Writer, pace: Pace, bodies: Bodies, pool: Pool
    ) -> None:
        super().__init__(keyring=keyring, writer=writer, pace=pace, bodies=bodies)
        self._pool = pool

    async def _take(
        self,
        actor: Actor,
        scope: asgi.Scope,
        receive: asgi.Receive,
        send: asgi.Send,
        share: Share,
    ) -> None:
        request, media = await _read(scope, receive, share, messages.metrics_request)
        found = polly.gather(
            cast(messages.MetricsRequest, request), default_environment=actor.default_environment
        )
        memories = await recall(self._pool, found.pipelines) if found.pipelines else {}
        items: list[Item] = []
        of_item: list[polly.Pipeline] = []
        ignored = found.ignored
        for pipeline, memory in memories.items():
            more = _events(pipeline, found, memory)
            if not memory.breakers:
                ignored += len(found.fared[pipeline])
            items += more
            of_item += [pipeline] * len(more)
        self._admit(actor, len(items))
        sorted_ = _sort(items, actor)
        await self._stored(sorted_, self._submit(sorted_, by=actor))
        # Of what was refused nothing is remembered, so that it is told afresh once it is let in.
        refused = {of_item[index] for index in sorted_.rejected}
        kept = {
            pipeline: memory
            for pipeline, memory in memories.items()
            if memory.breakers and pipeline not in refused
        }
        if kept:
            await remember(self._pool, kept)
        message = _message(sorted_, ignored=ignored, what="data points", unnamed=found.unnamed)
        rejected = len(sorted_.rejected) + found.unnamed
        answer = messages.metrics_answer(media, rejected=rejected, message=message)
        await asgi.answer(send, 200, answer, media=media.encode())


def _events(pipeline: polly.Pipeline, found: polly.Gathered, memory: Memory) -> list[Item]:
    items: list[Item] = []
    for turned in found.turned.get(pipeline, ()):
        items += events_of_turns(pipeline, turned, memory)
    for fared in found.fared.get(pipeline, ()):
        items += snapshots(pipeline, fared, memory)
    return items


def _sort(items: Sequence[Item], actor: Actor) -> Sorting:
    found = sort(items, actor, now=datetime.now(UTC))
    if items and found.outside == len(items):
        raise OutsideLimits("All events lie outside this key's limits.")
    return found


def _message(found: Sorting, *, ignored: int, what: str, unnamed: int = 0) -> str:
    """What an exporter's log is to say; nothing where all is well."""
    reasons = [
        f"{'.'.join(map(str, error.loc)) or 'the event'} {error.msg}"
        for errors in list(found.rejected.values())[:_REASONS_TOLD]
        for error in errors
    ]
    said = []
    if found.rejected:
        said.append(f"{len(found.rejected)} rejected: {'; '.join(dict.fromkeys(reasons))}")
    if unnamed:
        said.append(f"{unnamed} {what} rejected: the resource has no service.name")
    if ignored:
        said.append(f"{ignored} {what} ignored: not about circuit breakers")
    return ". ".join(said)
