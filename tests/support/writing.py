"""A writer of events by itself, as a web process has one, and events for it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

from breakers.db import Pool, make_pool
from breakers.ingest.effects import Effects
from breakers.ingest.jobs import Batch, Outcome
from breakers.ingest.queue import Writer
from breakers.states import State
from breakers.wire import Happened

NOW = datetime.now(UTC).replace(microsecond=0)
_ids = itertools.count(1)


def happened(number: int, to: State | None = State.OPEN, **fields: Any) -> Happened:
    """The event of this seq, and of as many seconds after the first."""
    return Happened(
        **{
            "environment": "drafts",
            "service": "orders",
            "instance": "i1",
            "breaker": "catalog",
            "type": "state_change",
            "event_id": f"e{next(_ids)}",
            "named": True,
            "timed": True,
            "to": to,
            "boot": "a",
            "seq": number,
            "occurred_at": NOW - timedelta(hours=1) + timedelta(seconds=number),
        }
        | fields
    )


@asynccontextmanager
async def writer(pool: Pool | None = None) -> AsyncIterator[Writer]:
    """On connections of its own, or on these."""

    async def nobody_is_told(effects: Effects) -> None:
        pass

    async with make_pool(size=2, prepares=False) if pool is None else nullcontext(pool) as its:
        one = Writer(its, committed=nobody_is_told)
        one.start()
        yield one
        await one.stop()


def send(one: Writer, *events: Happened) -> asyncio.Future[list[Outcome]]:
    return one.submit(Batch(events=list(events)))
