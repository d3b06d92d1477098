"""What is remembered of a Polly pipeline between exports, for its counters only grow.

In the database and not in the process: the next export may reach another web process, or this one after a
restart. It is written after the commit of the events that follow from it; an export that is sent again
meanwhile gives the same ids, and so changes nothing.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

import msgspec
from msgspec import Struct, field

from breakers.db import Pool
from breakers.errors import FieldError
from breakers.ingest.formats import Item
from breakers.ingest.otlp.messages import time_of
from breakers.ingest.otlp.polly import Fared, Pipeline, Turned, path, quantiles

_READ = "SELECT key, memory::text FROM otlp_memory WHERE key = ANY(%s)"
_WRITE = """
    INSERT INTO otlp_memory (key, memory) SELECT * FROM unnest(%s::bytea[], %s::jsonb[])
    ON CONFLICT (key) DO UPDATE SET memory = EXCLUDED.memory, seen_at = now()
"""
_STEP = timedelta(microseconds=1)
_WINDOW_MAX_S = 86_400
_encode = msgspec.json.Encoder(order="deterministic").encode


class Seen(Struct):
    """A breaker's state, and how often it had turned to each state, as of the last export."""

    state: str = "closed"
    turns: dict[str, int] = field(default_factory=dict)


class Memory(Struct):
    """A pipeline as of the last export of each of its metrics; 0: none yet."""

    turned_at_ns: int = 0
    breakers: dict[str, Seen] = field(default_factory=dict)
    fared_at_ns: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    bounds: list[float] = field(default_factory=list)
    buckets: list[int] = field(default_factory=list)


_decode = msgspec.json.Decoder(Memory).decode


def key_of(pipeline: Pipeline) -> bytes:
    who = pipeline.identity
    parts = [who.environment, who.service, who.instance, pipeline.name, pipeline.instance]
    return hashlib.sha256(_encode(parts)).digest()


async def recall(pool: Pool, pipelines: Iterable[Pipeline]) -> dict[Pipeline, Memory]:
    """What is known of each; nothing yet is an empty memory."""
    keys = {key_of(pipeline): pipeline for pipeline in pipelines}
    found = {pipeline: Memory() for pipeline in keys.values()}
    async with pool.connection() as connection:
        cursor = await connection.execute(_READ, [list(keys)])
        async for key, text in cursor:
            found[keys[bytes(key)]] = _decode(text)
    return found


async def remember(pool: Pool, memories: Mapping[Pipeline, Memory]) -> None:
    """Only pipelines with a breaker are worth it."""
    rows = sorted((key_of(one), _encode(memory).decode()) for one, memory in memories.items())
    async with pool.connection() as connection:
        await connection.execute(_WRITE, [[key for key, _ in rows], [text for _, text in rows]])


def events_of_turns(pipeline: Pipeline, now: Turned, memory: Memory) -> list[Item]:
    """The state changes since the last export, which the memory then knows; none if it is that export."""
    if now.at_ns <= memory.turned_at_ns:
        return []
    items = []
    for strategy, turns in sorted(now.turns.items()):
        seen = memory.breakers.setdefault(strategy, Seen())
        new = turns
        if not now.delta:
            if now.start_ns > memory.turned_at_ns or any(
                turns[state] < count for state, count in seen.turns.items()
            ):
                seen.state, seen.turns = "closed", {}  # a process that began since
            new = turns - Counter(seen.turns)
            seen.turns = dict(turns)
        told = path(seen.state, new)
        if new["isolated"]:
            told = ["forced_open" if state == "open" else state for state in told]
        detail = f"{new['open']} × opened, {new['half_open']} × half-open, {new['closed']} × closed"
        for place, state in enumerate(told):
            fields: dict[str, Any] = {
                "to": state,
                "cause": _cause(new),
                "detail": f"since the last export: {detail}",
            }
            if place:
                fields["from"] = told[place - 1]
            before = len(told) - 1 - place
            items.append(_item(pipeline, strategy, now, f"to-{state}", fields, before=before))
        if told:
            seen.state = told[-1]
    memory.turned_at_ns = now.at_ns
    return items


def _cause(turns: Counter[str]) -> str:
    """Without the tag, or where both kinds fall into one export, nobody can tell."""
    manual, automatic = bool(turns["manual"]), bool(turns["automatic"])
    return "unknown" if manual == automatic else "manual" if manual else "automatic"


def snapshots(pipeline: Pipeline, now: Fared, memory: Memory) -> list[Item]:
    """A snapshot for each breaker of the pipeline that is known, from what was added since the last export."""
    if now.at_ns <= memory.fared_at_ns:
        return []
    since, counts, buckets = now.start_ns, now.counts, now.buckets
    first = not memory.fared_at_ns
    if not now.delta:
        again = now.start_ns > memory.fared_at_ns or any(
            counts[name] < count for name, count in memory.counts.items()
        )
        if not (first or again):
            since, counts = memory.fared_at_ns, counts - Counter(memory.counts)
            if list(now.bounds) == memory.bounds and len(memory.buckets) == len(buckets):
                pairs = zip(buckets, memory.buckets, strict=True)
                buckets = [max(0, a - b) for a, b in pairs]
        memory.counts = dict(now.counts)
        if all(map(math.isfinite, now.bounds)):
            memory.bounds, memory.buckets = list(now.bounds), now.buckets
    memory.fared_at_ns = now.at_ns
    window_s = (now.at_ns - since) / 1e9
    if (first and not now.delta) or not 0.001 <= window_s <= _WINDOW_MAX_S:
        return []  # the calls of a whole life are no sample of the present
    metrics = _metrics(counts, now.bounds, buckets, window_s)
    fields = {"type": "snapshot", "metrics": metrics}
    return [
        _item(pipeline, strategy, now, "snapshot", fields) for strategy in sorted(memory.breakers)
    ]


def _metrics(
    counts: Counter[str], bounds: Iterable[float], buckets: list[int], window_s: float
) -> dict[str, Any]:
    calls, failed, refused = counts["calls"], counts["failed"], counts["not_permitted"]
    permitted = calls - refused
    metrics: dict[str, Any] = {
        "calls": calls,
        "failed": failed,
        "not_permitted": refused,
        "window": window_s,
    }
    if permitted > 0:
        metrics["failure_rate"] = min(100.0, 100 * failed / permitted)
    names = ("p50_ms", "p95_ms", "p99_ms")
    values = quantiles(list(bounds), buckets, (0.5, 0.95, 0.99))
    return metrics | {
        name: value
        for name, value in zip(names, values, strict=True)
        if value is not None and 0 <= value <= 1e12
    }


def _item(
    pipeline: Pipeline,
    strategy: str,
    now: Turned | Fared,
    what: str,
    fields: dict[str, Any],
    *,
    before: int = 0,
) -> Item:
    """One event, `before` steps before the time of the collection; its id is the same at each repeat."""
    at = time_of(now.at_ns)
    if at is None:
        return Item(errors=(FieldError(("timeUnixNano",), "lies outside the calendar"),))
    who = pipeline.identity
    digest = hashlib.sha256(key_of(pipeline) + _encode([strategy, now.at_ns])).hexdigest()[:32]
    body = {
        "environment": who.environment,
        "service": who.service,
        "instance": who.instance,
        "breaker": pipeline.breaker(strategy),
        "id": f"otlp-{digest}-{what}",
        "occurred_at": at - before * _STEP,
        "library": now.library[:200],
        **fields,
    }
    return Item(msgspec.Raw(_encode(body)))
