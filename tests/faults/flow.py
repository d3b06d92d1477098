"""Events that flow while the system is broken, from a client that repeats what was not acknowledged."""

from __future__ import annotations

import asyncio
import itertools
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

import httpx2
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from tests.support.stack import Stack
from tests.support.web import Watcher

LANES = 4
PAUSE_S = 0.02
BATCHES_MAX = 400
"""Of each lane: the stream is bounded even if nobody ends it."""
OPEN_EVERY = 24
"""A breaker opens in one batch of so many, and closes in the next; the lanes take turns."""
GIVE_UP_S = 60


@dataclass
class Lane:
    """One breaker. Its batches go one after the other, so that what it went through is known."""

    place: int
    sent: list[str] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)
    repeats: int = 0
    opened: int = 0
    state: str = "unknown"

    @property
    def breaker(self) -> str:
        return f"breaker-{self.place}"

    def opens_in(self, batch: int) -> bool:
        return batch % OPEN_EVERY == (self.place + 1) * OPEN_EVERY // LANES % OPEN_EVERY

    def batch(self, number: int, states: list[str]) -> list[dict[str, Any]]:
        events = [
            {
                "environment": "prod",
                "breaker": self.breaker,
                "to": state,
                "id": f"{self.breaker}:{number}:{place}",
                "occurred_at": datetime.now(UTC).isoformat(),
            }
            for place, state in enumerate(states)
        ]
        self.sent += [str(event["id"]) for event in events]
        self.opened += states.count("open")
        self.state = states[-1]
        return events


class Flow:
    """Runs in a thread of its own: `with Flow(stack, "orders") as flow: …; flow.finish()`."""

    def __init__(self, stack: Stack, service: str) -> None:
        self.service = service
        self.lanes = [Lane(place) for place in range(LANES)]
        self.board: dict[str, dict[str, Any]] = {}
        """As told over /live/v1 alone."""
        self.connections = 0
        self.problems: list[str] = []
        self._url, self._ws_url = stack.url, stack.ws_url
        self._headers = {"Authorization": f"Bearer {stack.key}"}
        self._last_batch = threading.Event()
        self._sent_all = threading.Event()
        self._watched_enough = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._last_batch.set()
        self._watched_enough.set()
        self._thread.join(GIVE_UP_S)
        assert not self._thread.is_alive(), "the flow did not end"

    @property
    def sent(self) -> list[str]:
        return [id for lane in self.lanes for id in lane.sent]

    @property
    def acknowledged(self) -> list[str]:
        return [id for lane in self.lanes for id in lane.acknowledged]

    def finish(self) -> None:
        """No new events; returns when each was acknowledged. The board goes on being watched."""
        self._last_batch.set()
        self._sent_all.wait(GIVE_UP_S)
        assert self._sent_all.is_set(), (
            f"not acknowledged: {set(self.sent) - set(self.acknowledged)}"
        )

    async def _run(self) -> None:
        watching = asyncio.create_task(self._watch())
        async with httpx2.AsyncClient(
            base_url=self._url, headers=self._headers, timeout=4, trust_env=False
        ) as http:
            await asyncio.gather(*(self._send_all(http, lane) for lane in self.lanes))
        self._sent_all.set()
        await asyncio.to_thread(self._watched_enough.wait)
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching

    async def _send_all(self, http: httpx2.AsyncClient, lane: Lane) -> None:
        for number in itertools.count(1):
            if self._last_batch.is_set() or number > BATCHES_MAX:
                await self._send(http, lane, lane.batch(number, ["closed"]))
                return
            states = ["half_open", "closed", "half_open", "closed"]
            if lane.opens_in(number):
                states.append("open")
            await self._send(http, lane, lane.batch(number, states))
            await asyncio.sleep(PAUSE_S)

    async def _send(self, http: httpx2.AsyncClient, lane: Lane, events: list[Any]) -> None:
        """Until it is acknowledged, always with the same ids and times."""
        body = [{**event, "service": self.service} for event in events]
        while True:
            try:
                answer = await http.post("/api/v1/events", json=body)
            except httpx2.HTTPError:
                answer = None
            if answer is not None and answer.status_code == 202:
                told = answer.json()
                if told["rejected"] or told["accepted"] + told["duplicates"] != len(events):
                    self.problems.append(answer.text)
                lane.acknowledged += [event["id"] for event in events]
                return
            if answer is not None and answer.status_code != 503:
                self.problems.append(f"{answer.status_code} {answer.text}")
            if answer is not None and "Retry-After" not in answer.headers:
                self.problems.append(f"{answer.status_code} without Retry-After")
            lane.repeats += 1
            await asyncio.sleep(0.2)

    async def _watch(self) -> None:
        """The board over /live/v1, by snapshot and changes; comes back whenever it is cut off.

        A cancellation that comes together with a frame is lost on Python 3.11, so the end is looked for too.
        """
        while not self._watched_enough.is_set():
            with suppress(OSError, TimeoutError, WebSocketException):
                async with connect(
                    f"{self._ws_url}/live/v1",
                    additional_headers=self._headers,
                    proxy=None,
                    open_timeout=4,
                    close_timeout=1,
                ) as socket:
                    self.connections += 1
                    watcher = Watcher(socket)
                    await watcher.subscribe(service=self.service)
                    while not self._watched_enough.is_set():
                        await watcher.take()
                        self.board = watcher.board
            await asyncio.sleep(0.1)
