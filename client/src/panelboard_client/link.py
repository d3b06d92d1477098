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

from panelboard_client.buffer import Buffer
from panelboard_client.identity import Identity
from panelboard_client.roster import Roster
from panelboard_client.session import ANSWER_TIMEOUT_S, STEADY_S, Session, wait
from panelboard_client.state_file import StateFile
from panelboard_client.version import __version__

log = logging.getLogger("panelboard_client")

BACKOFF_FIRST_S, BACKOFF_MOST_S = 0.5, 30.0
REFUSED_PAUSE_S = 60.0
"""After a refusal that only a person can mend (a wrong key): still tried, but slowly."""
RETRY_COMMAND_S = 0.1
LOG_EVERY_S = 60.0
MAX_FRAME = 1 << 20

NAME_TAKEN = 4409
REFUSALS = {
    4400: "the panel does not understand this client",
    4401: "the panel refuses the API key",
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
        state_file: Optional[StateFile] = None,
        settle_s: float = 0.0,
    ) -> None:
        self._url = url
        self._api_key = api_key
        self.identity = identity
        self.roster = roster
        self.buffer = buffer
        self._state_file = state_file
        self._settle_s = settle_s
        self._loop: Optional[_Loop] = None
        self.woken: Optional[asyncio.Event] = None
        self._promised: Optional[asyncio.Event] = None
        self.connection: Optional[ClientConnection] = None
        self._connections = 0
        self.stopping = False
        self.stop_by = 0.0
        self.attempt = 0
        self._said_at: Optional[float] = None
        self._thread = threading.Thread(target=self._run, name="panelboard", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def connected(self) -> bool:
        """Whether the panel has answered our hello on the present socket."""
        return self.connection is not None

    def wake(self) -> None:
        """Something is to be sent. Never waits, never raises."""
        loop, woken = self._loop, self.woken
        if loop is not None and woken is not None and not woken.is_set():
            with contextlib.suppress(RuntimeError):  # the loop has just closed
                loop.call_soon_threadsafe(self.nudge)

    def stop(self, timeout_s: float) -> None:
        """Says goodbye if it can, and ends the thread; waits for that up to `timeout_s`."""
        self.stop_by = time.monotonic() + timeout_s
        self.stopping = True
        self.wake()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(timeout_s)

    def abandon(self) -> None:
        """In a forked child: lets go of the parent's socket without a word on it.

        The parent's end of it would otherwise stay open for as long as any child lives. The
        loop is left as it is: closing it would reach into the parent's.
        """
        connection = self.connection
        if connection is None:
            return
        try:
            held = connection.transport.get_extra_info("socket")
            raw: socket.socket = getattr(held, "_sock", held)
            socket.close(raw.detach())
        except Exception as error:
            log.debug("could not let go of an inherited socket: %s", error)

    # The thread.

    def nudge(self) -> None:
        for event in (self.woken, self._promised):
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
        self.woken, self._promised = asyncio.Event(), asyncio.Event()
        keeper = asyncio.ensure_future(self._keep_promises())
        try:
            await self._pause(self._settle_s)
            while not self.stopping:
                pause_s = await self._connect_once()
                if not self.stopping:
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
                self._connections += 1
                await Session(self, connection, number=self._connections).run()
            return 0.0
        except websockets.exceptions.ConnectionClosed as closed:
            code = closed.rcvd.code if closed.rcvd is not None else 1006
            if code == NAME_TAKEN:
                self.identity.rename()
                self.say(
                    "another process has connected under this instance's name; going on as %s",
                    self.identity.instance,
                )
                return self._backoff(began)
            if code in REFUSALS:
                said = (
                    closed.rcvd.reason if closed.rcvd is not None and closed.rcvd.reason else code
                )
                self.say("%s (%s); trying again each minute", REFUSALS[code], said)
                return REFUSED_PAUSE_S * _chance(0.5)
            self.say("the panel closed the connection (%s); trying again", closed)
        except websockets.exceptions.InvalidStatus as refused:
            status = refused.response.status_code
            self.say("the panel at %s answered HTTP %s; trying again", self._url, status)
            if status in (401, 403):
                return REFUSED_PAUSE_S * _chance(0.5)
        except (OSError, asyncio.TimeoutError, websockets.exceptions.WebSocketException) as error:
            self.say("the panel at %s is out of reach (%s); trying again", self._url, error)
        except Exception as error:
            self.say("the link to the panel failed (%r); trying again", error)
        finally:
            self.connection = None
        return self._backoff(began)

    def _backoff(self, began: float) -> float:
        if time.monotonic() - began > STEADY_S + ANSWER_TIMEOUT_S:
            self.attempt = 0
        pause_s = backoff(self.attempt, _chance())
        self.attempt += 1
        return pause_s

    async def _keep_promises(self) -> None:
        """Ends overrides on time, retries commands and sees what turns by the clock, connected or not."""
        assert self._promised is not None
        while True:
            self._promised.clear()
            self._keep_time()
            await wait(self._promised, self._next_promise_s())

    def _keep_time(self) -> None:
        now = time.monotonic()
        for watched in self.roster.all():
            try:
                watched.keep_time(now)
                if watched.standing.waiting is not None and watched.proceed(now):
                    self.roster.owe_answer(watched)
                    self.nudge()
            except Exception:  # one library's trouble is not the others'
                log.exception("could not keep time for %s", watched.name)

    def _next_promise_s(self) -> Optional[float]:
        """None while nothing has been promised: then only a new order brings something."""
        now = time.monotonic()
        dues: List[float] = []
        for watched in self.roster.all():
            if watched.standing.waiting is not None:
                dues.append(now + RETRY_COMMAND_S)
            due = watched.due
            if due is not None:
                dues.append(due)
        return max(0.0, min(dues) - now) if dues else None

    def save_state(self) -> None:
        """What the panel wants, for the next life of this service."""
        if self._state_file is None:
            return
        standings = {watched.name: watched.standing for watched in self.roster.all()}
        try:
            self._state_file.save(standings, time.time(), time.monotonic())
        except OSError as error:
            self.say("cannot keep what the panel wants: %s", error)

    async def _pause(self, seconds: float) -> None:
        """Sleeps, but for a stop."""
        until = time.monotonic() + seconds
        while not self.stopping:
            left = until - time.monotonic()
            if left <= 0 or self.woken is None:
                return
            self.woken.clear()
            if self.stopping:
                return
            await wait(self.woken, left)

    def say(self, message: str, *args: Any) -> None:
        now = time.monotonic()
        if not self.stopping and (self._said_at is None or now - self._said_at >= LOG_EVERY_S):
            self._said_at = now
            log.warning("Panelboard: " + message, *args)


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
