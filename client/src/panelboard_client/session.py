"""One connection that got through: what is due goes out, what comes in is obeyed."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, List, Optional, Set

from websockets.asyncio.client import ClientConnection

from panelboard_client import wire

if TYPE_CHECKING:
    from panelboard_client.link import Link

ANSWER_TIMEOUT_S = 10.0
"""For connecting, and for the welcome."""
STEADY_S = 10.0
"""A connection that lived this long starts the back-off anew."""
SNAPSHOT_EVERY_S = 10.0
MISSED_PINGS = 3


class Session:
    """One connection that got through: what is due goes out, what comes in is obeyed."""

    def __init__(self, link: Link, connection: ClientConnection, *, number: int) -> None:
        self._link = link
        self._connection = connection
        self._number = number
        self._roster = link.roster
        self._buffer = link.buffer
        self._batch = 0
        self._unacked: Optional[int] = None
        self._heartbeat_s = 10.0
        self._told_version = -1
        self._told: Set[str] = set()
        self._unwelcomed = 0

    async def run(self) -> None:
        """Until the connection ends (ConnectionClosed, OSError) or the link is to stop."""
        await self._tell_hello()
        await asyncio.wait_for(self._welcomed(), ANSWER_TIMEOUT_S)
        link = self._link
        began = time.monotonic()
        link.connection = self._connection
        self._heard_at = self._pinged_at = began
        self._sampled_at = began
        reader = asyncio.ensure_future(self._read())
        try:
            while not reader.done():
                assert link.woken is not None
                link.woken.clear()
                if not await self._write_what_is_due():
                    return
                if time.monotonic() - began > STEADY_S:
                    link.attempt = 0
                await wait(link.woken, self._next_due_s())
            reader.result()
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)

    async def _write_what_is_due(self) -> bool:
        """False once there is nothing more to say before the end."""
        now = time.monotonic()
        if self._roster.version != self._told_version:
            await self._tell_hello()
        if now >= self._silent_at:
            raise OSError(f"silent for {now - self._heard_at:.0f} s")
        if now - self._pinged_at >= self._heartbeat_s:
            self._pinged_at = now
            await self._send(wire.ping())
        if now - self._sampled_at >= SNAPSHOT_EVERY_S:
            self._sampled_at = now
            self._roster.sample()
            self._link.save_state()
        # Events before answers: the server then has the change itself, with its cause, when it
        # hears that the order behind it is in effect.
        owed = self._roster.take_owed()
        if owed:
            self._link.save_state()
        await self._send_batch()
        for answer in owed:
            await self._send(wire.applied(answer))
        if self._link.stopping and (not len(self._buffer) or now >= self._link.stop_by - 0.2):
            await self._send(wire.goodbye())
            return False
        return True

    @property
    def _silent_at(self) -> float:
        """When the panel counts as gone if it says nothing until then."""
        return self._heard_at + self._heartbeat_s * MISSED_PINGS

    def _next_due_s(self) -> float:
        now = time.monotonic()
        dues: List[float] = [
            self._pinged_at + self._heartbeat_s,
            self._sampled_at + SNAPSHOT_EVERY_S,
            self._silent_at,
        ]
        if self._link.stopping:
            dues.append(self._link.stop_by - 0.2)
        return max(0.01, min(dues) - now)

    async def _tell_hello(self) -> None:
        self._told_version = self._roster.version
        identity, breakers = self._link.identity, self._roster.describe()
        self._told = {each["breaker"] for each in breakers}
        self._unwelcomed += 1
        await self._send(
            wire.hello(
                service=identity.service,
                environment=identity.environment,
                instance=identity.instance,
                boot=identity.boot,
                connection=self._number,
                labels=identity.labels,
                breakers=breakers,
            )
        )

    async def _send_batch(self) -> None:
        if self._unacked is not None:
            return
        self._roster.tell_losses()
        events = self._buffer.batch(wire.MAX_BATCH)
        if events:
            self._batch += 1
            self._unacked = self._batch
            await self._send(wire.events(self._batch, events))

    async def _send(self, text: str) -> None:
        # A peer that reads nothing must not hold the thread up for ever.
        await asyncio.wait_for(self._connection.send(text), ANSWER_TIMEOUT_S * 2)

    async def _welcomed(self) -> None:
        while not await self._read_one():
            pass

    async def _read(self) -> None:
        try:
            while True:
                await self._read_one()
        finally:
            self._link.wake()

    async def _read_one(self) -> bool:
        """Obeys one frame; says whether it was a welcome."""
        text = await self._connection.recv()
        self._heard_at = now = time.monotonic()
        try:
            frame = wire.parse(text)
        except wire.NotUnderstood as error:
            self._link.say("not understood from the panel: %s", error)
            return False
        if isinstance(frame, wire.Order):
            self._obey(frame, now)
        elif isinstance(frame, wire.Ack):
            self._acked(frame)
        elif isinstance(frame, wire.Welcome):
            self._heartbeat_s = max(0.05, frame.heartbeat)
            for name in frame.unknown_revisions:
                self._forget_revision(name)
            for order in frame.desired:
                self._obey(order, now)
            self._unwelcomed -= 1
            if not self._unwelcomed:
                self._forget_what_is_wished_no_more(frame)
            return True
        return False

    def _forget_revision(self, name: str) -> None:
        """The panel takes what we have applied for a mistake: what it wishes now has a lower number."""
        watched = self._roster.find(name)
        if watched is not None:
            self._link.say("the panel never wished what %s has applied; it begins anew", name)
            watched.forget_revision()

    def _forget_what_is_wished_no_more(self, welcome: wire.Welcome) -> None:
        """What was taken over from an earlier life, and the panel knows nothing of."""
        for name in self._told - {order.breaker for order in welcome.desired}:
            watched = self._roster.find(name)
            if watched is not None:
                watched.disown()

    def _acked(self, ack: wire.Ack) -> None:
        if ack.batch != self._unacked:
            return
        self._unacked = None
        self._buffer.settle()
        if ack.rejected:
            self._link.say("the panel refused %d events: %s", len(ack.rejected), ack.rejected[:3])
        self._link.nudge()

    def _obey(self, order: wire.Order, now: float) -> None:
        watched = self._roster.find(order.breaker)
        if watched is None:
            self._roster.keep(order, now)
            return
        self._roster.obey(watched, order, now)
        self._link.nudge()


async def wait(event: asyncio.Event, seconds: Optional[float]) -> None:
    """Until the event is set, or for so many seconds (None: without end)."""
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
