"""The one background thread and its socket to the panel.

It lives on whatever happens at the other end: it waits with full jitter and tries again, sends
again what was not acknowledged, and says at most one line a minute about it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket
import threading
import time
from typing import Any, List, Optional, Tuple

import websockets.exceptions
from websockets.asyncio.client import ClientConnection, connect

from panelboard_client import wire
from panelboard_client.buffer import Buffer
from panelboard_client.identity import Identity
from panelboard_client.roster import Roster
from panelboard_client.version import __version__

log = logging.getLogger("panelboard_client")

BACKOFF_FIRST_S, BACKOFF_MOST_S = 0.5, 30.0
REFUSED_PAUSE_S = 60.0
"""After a refusal that only a person can mend (a wrong key): still tried, but slowly."""
STEADY_S = 10.0
"""A connection that lived this long starts the back-off anew."""
ANSWER_TIMEOUT_S = 10.0
"""For connecting, and for the welcome."""
SNAPSHOT_EVERY_S = 10.0
RETRY_COMMAND_S = 0.1
LOG_EVERY_S = 60.0
MISSED_PINGS = 3
MAX_FRAME = 1 << 20

NAME_TAKEN = 4409
REFUSALS = {
    4400: "the panel does not understand this client",
    4401: "the panel does not know the API key",
    4403: "the API key may not connect this service",
}


def backoff(attempt: int, chance: float) -> float:
    """Full jitter: seconds to wait before the attempt after `attempt` failures, 0 for the first.

    `chance` is a random number from 0 to 1.
    """
    return chance * min(BACKOFF_MOST_S, BACKOFF_FIRST_S * 2.0 ** min(attempt, 16))


class Link:
    """Owned by a Panel; every public method may be called from any thread."""

    def __init__(
        self,
        *,
        url: str,
        api_key: str,
        identity: Identity,
        roster: Roster,
        buffer: Buffer,
        settle_s: float = 0.0,
    ) -> None:
        self._url = url
        self._api_key = api_key
        self._identity = identity
        self._roster = roster
        self._buffer = buffer
        self._settle_s = settle_s
        self._loop: Optional[_Loop] = None
        self._woken: Optional[asyncio.Event] = None
        self._promised: Optional[asyncio.Event] = None
        self._socket: Optional[ClientConnection] = None
        self._stopping = False
        self._stop_by = 0.0
        self._attempt = 0
        self._said_at: Optional[float] = None
        self._thread = threading.Thread(target=self._run, name="panelboard", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def connected(self) -> bool:
        """Whether the panel has answered our hello on the present socket."""
        return self._socket is not None

    def wake(self) -> None:
        """Something is to be sent. Never waits, never raises."""
        loop, woken = self._loop, self._woken
        if loop is not None and woken is not None and not woken.is_set():
            with contextlib.suppress(RuntimeError):  # the loop has just closed
                loop.call_soon_threadsafe(self._nudge)

    def stop(self, timeout_s: float) -> None:
        """Says goodbye if it can, and ends the thread; waits for that up to `timeout_s`."""
        self._stop_by = time.monotonic() + timeout_s
        self._stopping = True
        self.wake()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(timeout_s)

    def abandon(self) -> None:
        """In a forked child: lets go of the parent's socket without a word on it.

        The parent's end of it would otherwise stay open for as long as any child lives. The
        loop is left as it is: closing it would reach into the parent's.
        """
        connection = self._socket
        if connection is None:
            return
        try:
            held = connection.transport.get_extra_info("socket")
            raw: socket.socket = getattr(held, "_sock", held)
            socket.close(raw.detach())
        except Exception as error:
            log.debug("could not let go of an inherited socket: %s", error)

    # The thread.

    def _nudge(self) -> None:
        for event in (self._woken, self._promised):
            if event is not None:
                event.set()

    def _run(self) -> None:
        loop = _Loop()
        try:
            asyncio.set_event_loop(loop)
            self._loop = loop
            loop.run_until_complete(self._live())
        except Exception:  # the service must not notice, but someone should
            log.exception("the link to the panel ended; breakers work on without it")
        finally:
            self._loop = None
            asyncio.set_event_loop(None)
            loop.close()

    async def _live(self) -> None:
        self._woken, self._promised = asyncio.Event(), asyncio.Event()
        keeper = asyncio.ensure_future(self._keep_promises())
        try:
            await self._pause(self._settle_s)
            while not self._stopping:
                pause_s = await self._connect_once()
                if not self._stopping:
                    await self._pause(pause_s)
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)

    async def _connect_once(self) -> float:
        """One connection from dial to end; answers how long to wait before the next."""
        began = time.monotonic()
        try:
            async with connect(
                self._url,
                additional_headers={"Authorization": f"Bearer {self._api_key}"},
                user_agent_header=f"panelboard-client/{__version__}",
                open_timeout=ANSWER_TIMEOUT_S,
                close_timeout=1,
                ping_interval=None,  # the protocol has pings of its own
                compression=None,
                max_size=MAX_FRAME,
            ) as connection:
                await _Session(self, connection).run()
            return 0.0
        except websockets.exceptions.ConnectionClosed as closed:
            code = closed.rcvd.code if closed.rcvd is not None else 1006
            if code == NAME_TAKEN:
                self._identity.rename()
                self._say(
                    "another process has connected under this instance's name; going on as %s",
                    self._identity.instance,
                )
                return self._backoff(began)
            if code in REFUSALS:
                self._say("%s (%s); trying again each minute", REFUSALS[code], closed)
                return REFUSED_PAUSE_S * _chance(0.5)
            self._say("the panel closed the connection (%s); trying again", closed)
        except websockets.exceptions.InvalidStatus as refused:
            status = refused.response.status_code
            self._say("the panel at %s answered HTTP %s; trying again", self._url, status)
            if status in (401, 403):
                return REFUSED_PAUSE_S * _chance(0.5)
        except (OSError, asyncio.TimeoutError, websockets.exceptions.WebSocketException) as error:
            self._say("the panel at %s is out of reach (%s); trying again", self._url, error)
        except Exception as error:
            self._say("the link to the panel failed (%r); trying again", error)
        finally:
            self._socket = None
        return self._backoff(began)

    def _backoff(self, began: float) -> float:
        if time.monotonic() - began > STEADY_S + ANSWER_TIMEOUT_S:
            self._attempt = 0
        pause_s = backoff(self._attempt, _chance())
        self._attempt += 1
        return pause_s

    async def _keep_promises(self) -> None:
        """Ends overrides on time and retries commands, connected or not."""
        assert self._promised is not None
        while True:
            self._promised.clear()
            try:
                self._end_overrides()
            except Exception:
                log.exception("could not end an override")
            await _wait(self._promised, self._next_promise_s())

    def _end_overrides(self) -> None:
        now = time.monotonic()
        for watched in self._roster.all():
            watched.keep_time(now)
            if watched.standing.waiting is not None and watched.proceed(now):
                self._roster.owe_answer(watched)
                self._nudge()

    def _next_promise_s(self) -> Optional[float]:
        """None while nothing has been promised: then only a new order brings something."""
        now = time.monotonic()
        dues: List[float] = []
        for watched in self._roster.all():
            if watched.standing.waiting is not None:
                dues.append(now + RETRY_COMMAND_S)
            until = watched.override_ends_at
            if until is not None:
                dues.append(until)
        return max(0.0, min(dues) - now) if dues else None

    async def _pause(self, seconds: float) -> None:
        """Sleeps, but for a stop."""
        until = time.monotonic() + seconds
        while not self._stopping:
            left = until - time.monotonic()
            if left <= 0 or self._woken is None:
                return
            self._woken.clear()
            if self._stopping:
                return
            await _wait(self._woken, left)

    def _say(self, message: str, *args: Any) -> None:
        now = time.monotonic()
        if not self._stopping and (self._said_at is None or now - self._said_at >= LOG_EVERY_S):
            self._said_at = now
            log.warning("Panelboard: " + message, *args)


class _Session:
    """One connection that got through: what is due goes out, what comes in is obeyed."""

    def __init__(self, link: Link, connection: ClientConnection) -> None:
        self._link = link
        self._connection = connection
        self._roster = link._roster
        self._buffer = link._buffer
        self._batch = 0
        self._unacked: Optional[int] = None
        self._heartbeat_s = 10.0
        self._told_version = -1

    async def run(self) -> None:
        """Until the connection ends (ConnectionClosed, OSError) or the link is to stop."""
        await self._tell_hello()
        await asyncio.wait_for(self._welcomed(), ANSWER_TIMEOUT_S)
        link = self._link
        began = time.monotonic()
        link._socket = self._connection
        self._heard_at = self._pinged_at = began
        self._sampled_at = began
        reader = asyncio.ensure_future(self._read())
        try:
            while not reader.done():
                assert link._woken is not None
                link._woken.clear()
                if not await self._write_what_is_due():
                    return
                if time.monotonic() - began > STEADY_S:
                    link._attempt = 0
                await _wait(link._woken, self._next_due_s())
            reader.result()
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)

    async def _write_what_is_due(self) -> bool:
        """False once there is nothing more to say before the end."""
        now = time.monotonic()
        if self._roster.version != self._told_version:
            await self._tell_hello()
        if now - self._heard_at > self._heartbeat_s * MISSED_PINGS:
            raise OSError(f"silent for {now - self._heard_at:.0f} s")
        if now - self._pinged_at >= self._heartbeat_s:
            self._pinged_at = now
            await self._send(wire.ping())
        if now - self._sampled_at >= SNAPSHOT_EVERY_S:
            self._sampled_at = now
            self._roster.sample()
        # Events before answers: the server then has the change itself, with its cause, when it
        # hears that the order behind it is in effect.
        owed = self._roster.take_owed()
        await self._send_batch()
        for answer in owed:
            await self._send(wire.applied(answer))
        if self._link._stopping and (not len(self._buffer) or now >= self._link._stop_by - 0.2):
            await self._send(wire.goodbye())
            return False
        return True

    def _next_due_s(self) -> float:
        now = time.monotonic()
        dues: List[float] = [
            self._pinged_at + self._heartbeat_s,
            self._sampled_at + SNAPSHOT_EVERY_S,
        ]
        if self._link._stopping:
            dues.append(self._link._stop_by - 0.2)
        return max(0.01, min(dues) - now)

    async def _tell_hello(self) -> None:
        self._told_version = self._roster.version
        identity = self._link._identity
        await self._send(
            wire.hello(
                service=identity.service,
                environment=identity.environment,
                instance=identity.instance,
                boot=identity.boot,
                labels=identity.labels,
                breakers=self._roster.describe(),
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
            self._link._say("not understood from the panel: %s", error)
            return False
        if isinstance(frame, wire.Order):
            self._obey(frame, now)
        elif isinstance(frame, wire.Ack):
            self._acked(frame)
        elif isinstance(frame, wire.Welcome):
            self._heartbeat_s = max(0.05, frame.heartbeat)
            for order in frame.desired:
                self._obey(order, now)
            return True
        return False

    def _acked(self, ack: wire.Ack) -> None:
        if ack.batch != self._unacked:
            return
        self._unacked = None
        self._buffer.settle()
        if ack.rejected:
            self._link._say("the panel refused %d events: %s", len(ack.rejected), ack.rejected[:3])
        self._link._nudge()

    def _obey(self, order: wire.Order, now: float) -> None:
        watched = self._roster.find(order.breaker)
        if watched is None:
            self._roster.keep(order, now)
            return
        try:
            watched.receive(order, now)
        except Exception as error:  # one library's trouble is not the others'
            log.exception("could not obey the panel's order for %s", order.breaker)
            watched.standing.settle(f"{type(error).__name__}: {error}")
        if watched.standing.waiting is None:
            self._roster.owe_answer(watched)
        self._link._nudge()


class _Loop(asyncio.SelectorEventLoop):
    """Names no policy of the host's, and resolves names in the thread itself.

    asyncio's own way is a pool of threads that the interpreter waits for at its exit: a name
    server that hangs would hold the service's end up. Nothing else needs this loop while there
    is no connection: an override's end is seen by the guarded call too.
    """

    async def getaddrinfo(self, host: Any, port: Any, **how: Any) -> List[Tuple[Any, ...]]:
        return list(socket.getaddrinfo(host, port, **how))


def _chance(least: float = 0.0) -> float:
    return random.uniform(least, 1.0)  # noqa: S311 (spreads reconnects, guards nothing)


async def _wait(event: asyncio.Event, seconds: Optional[float]) -> None:
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
