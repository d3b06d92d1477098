"""This process's one ear and mouth on the channel layer."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

import structlog
from channels.layers import get_channel_layer

from breakers.live.publish import GROUP
from breakers.loops import AWAY, cancel, for_ever

_log = structlog.get_logger(__name__)
Handler = Callable[[Mapping[str, Any]], None]
# What waits to be said while Redis is slow; the oldest is dropped, for everyone re-reads each second.
_WAITING_MAX = 1000
# The first is said at once. A message costs each process some 200 µs, and under load every commit has one.
_REST_S = 0.01
_IDS = {"changed": "breakers", "desired": "services"}
"""Kinds that only name rows, and where: what waits of such a kind is one message."""


class Bus:
    """Delivers messages of other processes to handlers, which must not block, and sends ours."""

    def __init__(self) -> None:
        self._layer = get_channel_layer()
        self._handlers: dict[str, list[Handler]] = defaultdict(list)
        self._own = uuid.uuid4().hex
        self._saying: asyncio.Queue[dict[str, Any]] = asyncio.Queue(_WAITING_MAX)
        self._tasks: list[asyncio.Task[NoReturn]] = []

    def on(self, kind: str, handler: Handler) -> None:
        self._handlers[kind].append(handler)

    def start(self) -> None:
        self._tasks = [
            asyncio.create_task(for_ever(self._listen, name="bus listener")),
            asyncio.create_task(for_ever(self._talk, name="bus speaker")),
        ]

    async def stop(self) -> None:
        await cancel(self._tasks)
        with contextlib.suppress(*AWAY):
            async with asyncio.timeout(2):
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
        waiting = [await self._saying.get()]
        while not self._saying.empty():
            waiting.append(self._saying.get_nowait())
        async with asyncio.timeout(2):
            for message in _joined(waiting):
                await self._layer.group_send(GROUP, message)
        await asyncio.sleep(_REST_S)

    async def _listen(self) -> None:
        """Hears what is said, until Redis is gone."""
        try:
            async with asyncio.timeout(5):
                channel = await self._layer.new_channel()
                await self._layer.group_add(GROUP, channel)
            while True:
                message = await self._layer.receive(channel)
                if message.get("from") != self._own:
                    self._deliver(message)
        except Exception:
            with contextlib.suppress(*AWAY):
                async with asyncio.timeout(2):
                    await self._layer.flush()
            raise


def _joined(messages: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same said in fewer messages, each in the place of the first of its kind."""
    joined: list[dict[str, Any]] = []
    first: dict[str, dict[str, Any]] = {}
    for message in messages:
        ids = _IDS.get(message["type"])
        known = first.get(message["type"])
        if ids is not None and known is not None:
            known[ids] = sorted({*known[ids], *message[ids]})
        else:
            joined.append(message)
            first[message["type"]] = message
    return joined
