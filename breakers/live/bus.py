"""This process's one ear and mouth on the channel layer."""

from __future__ import annotations

import asyncio
import contextlib
import random
import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import redis
import structlog
from channels.layers import get_channel_layer

from breakers.live.publish import GROUP

_log = structlog.get_logger(__name__)
Handler = Callable[[Mapping[str, Any]], None]
_GONE = (redis.RedisError, OSError, TimeoutError)
# What waits to be said while Redis is slow; the oldest is dropped, for everyone re-reads each second.
_WAITING_MAX = 1000


class Bus:
    """Delivers messages of other processes to handlers, which must not block, and sends ours."""

    def __init__(self) -> None:
        self._layer = get_channel_layer()
        self._handlers: dict[str, list[Handler]] = defaultdict(list)
        self._own = uuid.uuid4().hex
        self._saying: asyncio.Queue[dict[str, Any]] = asyncio.Queue(_WAITING_MAX)
        self._tasks: list[asyncio.Task[None]] = []

    def on(self, kind: str, handler: Handler) -> None:
        self._handlers[kind].append(handler)

    def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._listen(), name="bus listener"),
            asyncio.create_task(self._talk(), name="bus speaker"),
        ]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        with contextlib.suppress(*_GONE):
            await self._layer.flush()

    def say(self, kind: str, **content: Any) -> None:
        """To the handlers here at once, and to all other processes as soon as Redis takes it."""
        message = {"type": kind, **content}
        self._deliver(message)
        if self._saying.full():
            self._saying.get_nowait()
        self._saying.put_nowait(message | {"from": self._own})

    def _deliver(self, message: Mapping[str, Any]) -> None:
        for handler in self._handlers[message["type"]]:
            try:
                handler(message)
            except Exception:  # one handler's fault must not make the process deaf
                _log.exception("bus handler failed", kind=message["type"])

    async def _talk(self) -> None:
        while True:
            message = await self._saying.get()
            try:
                async with asyncio.timeout(2):
                    await self._layer.group_send(GROUP, message)
            except _GONE as problem:
                _log.info("announcement lost", kind=message["type"], error=str(problem))

    async def _listen(self) -> None:
        failures = 0
        while True:
            try:
                async with asyncio.timeout(5):
                    channel = await self._layer.new_channel()
                    await self._layer.group_add(GROUP, channel)
                failures = 0
                while True:
                    message = await self._layer.receive(channel)
                    if message.get("from") != self._own:
                        self._deliver(message)
            except _GONE as problem:
                failures = min(failures + 1, 6)
                _log.warning("not joined to redis", error=str(problem))
                with contextlib.suppress(*_GONE):
                    await self._layer.flush()
                await asyncio.sleep(random.uniform(0.1, 0.25 * 2**failures))  # noqa: S311 - jitter
