"""`connect`, and the Panel that it answers: what a service's own code calls."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from typing import Callable, Dict, List, Optional, TypeVar
from urllib.parse import urlsplit, urlunsplit

from panelboard_client.buffer import Buffer
from panelboard_client.ending import GOODBYE_S, leave_sigterm, live, mind_sigterm
from panelboard_client.gate import Gate, GateAdapter
from panelboard_client.identity import Identity
from panelboard_client.link import Link
from panelboard_client.roster import Roster, check_name
from panelboard_client.state_file import StateFile
from panelboard_client.watch import adapter_for
from panelboard_client.wire import MAX_BREAKERS

log = logging.getLogger("panelboard_client")

B = TypeVar("B")

FORK_SETTLE_S = 0.2
"""A child that runs another program at once is no instance: it gets this long to do so."""
MAX_LABELS = 16


def connect(
    *,
    url: Optional[str] = None,
    api_key: Optional[str] = None,
    service: Optional[str] = None,
    environment: Optional[str] = None,
    instance: Optional[str] = None,
    labels: Optional[Dict[str, str]] = None,
    state_file: Optional[str] = None,
    goodbye_on_sigterm: bool = True,
) -> Panel:
    """Connects this process to the panel, in a thread of its own; returns at once.

    What is not given is taken from PANELBOARD_URL, _API_KEY, _SERVICE, _ENVIRONMENT,
    _INSTANCE and _STATE_FILE. Without a URL or a key the panel is off: `watch` works, nothing is sent, one log
    line says so. A server that is down or refuses the key is no error here: it is tried again.

    `state_file` (PANELBOARD_STATE_FILE) is where overrides are kept, so that they stand after a
    restart even with the panel away. `goodbye_on_sigterm` puts a handler for SIGTERM there
    where there is none; see `ending.py`.

    Raises ValueError where the settings cannot be right: no service name, or an odd URL.
    """
    url = url or os.environ.get("PANELBOARD_URL") or ""
    api_key = (api_key or os.environ.get("PANELBOARD_API_KEY") or "").strip()
    service = service or os.environ.get("PANELBOARD_SERVICE") or ""
    environment = environment or os.environ.get("PANELBOARD_ENVIRONMENT") or None
    instance = instance or os.environ.get("PANELBOARD_INSTANCE") or None
    if not service:
        raise ValueError("no service name: pass service=..., or set PANELBOARD_SERVICE")
    named = {"service": service, "environment": environment, "instance": instance}
    for what, value in named.items():
        if value is not None:
            check_name(what, value)
    identity = Identity(
        service=service,
        environment=environment,
        instance=instance,
        labels=_checked(labels or {}),
    )
    kept = state_file or os.environ.get("PANELBOARD_STATE_FILE") or None
    panel = Panel(
        identity=identity,
        url=agent_url(url) if url else None,
        api_key=api_key,
        state_file=None if kept is None else StateFile(kept, identity),
    )
    if goodbye_on_sigterm and panel.on:
        mind_sigterm()
    return panel


class Panel:
    """A service's line to Panelboard. Made by `connect`; safe to use from any thread."""

    def __init__(
        self,
        *,
        identity: Identity,
        url: Optional[str],
        api_key: str,
        state_file: Optional[StateFile] = None,
    ) -> None:
        self._identity = identity
        self._state_file = state_file
        self._url = url
        self._api_key = api_key
        self._buffer = Buffer()
        self._roster = Roster(self._buffer, wake=self._wake)
        self._roster.boot = identity.boot
        self._closed = False
        self._link: Optional[Link] = None
        if url is None or not api_key:
            log.warning("Panelboard: off, for there is no %s", "API key" if url else "URL")
        else:
            if state_file is not None:
                self._roster.remember(state_file.load(time.time()), time.monotonic())
            self._link = self._new_link(url)
            self._link.start()
        live.add(self)

    @property
    def on(self) -> bool:
        """Whether there is a URL and a key."""
        return self._link is not None

    @property
    def instance(self) -> str:
        """This process's name on the board; a forked child has another."""
        return self._identity.instance

    @property
    def connected(self) -> bool:
        return self._link is not None and self._link.connected

    def watch(self, breaker: B, *, name: Optional[str] = None, target: Optional[str] = None) -> B:
        """Shows a breaker on the board and makes it obey it; answers the same object.

        `name` tells a service's breakers apart (default: the breaker's own name); `target` is
        what it guards. Calls are refused and let through with the library's own exceptions.

        Raises TypeError for a breaker of a library that is not supported, ValueError for a
        name that is missing, odd or given to another breaker. Past 1,000 breakers it only
        logs, and the breaker works on unwatched.
        """
        if self._closed:
            raise ValueError("the panel is closed")
        adapter = adapter_for(breaker)
        if not self._roster.watch(adapter, name=name, target=target):
            name = name or adapter.name
            log.warning("Panelboard: %s is not watched, %d breakers are", name, MAX_BREAKERS)
        return breaker

    def gate(
        self,
        breaker: str,
        *,
        target: Optional[str] = None,
        library: Optional[str] = None,
        on_trip: Optional[Callable[[], object]] = None,
        on_reset: Optional[Callable[[], object]] = None,
    ) -> Gate:
        """A gate to ask before each call, for a breaker that is no library's.

        `on_trip` and `on_reset` carry out the board's commands on a breaker of your own: they
        run in the client's thread, and call the gate's report() with the state that they have
        brought about. Without them such a command is answered with an error.

        Raises ValueError for an odd name, or one that a watched breaker has.
        """
        adapter = self._told(breaker, asked=True, target=target, library=library)
        for command, act in (("trip", on_trip), ("reset", on_reset)):
            if act is not None:
                adapter.by_command[command] = act
        return Gate(adapter)

    def report(
        self,
        breaker: str,
        state: str,
        *,
        target: Optional[str] = None,
        library: Optional[str] = None,
        cause: str = "automatic",
        reason: Optional[str] = None,
        detail: Optional[str] = None,
    ) -> None:
        """Says what a breaker is now that is no library's, and that nobody steers: an override
        of it is answered with an error until the service asks for its gate().

        Raises ValueError for an odd name or state.
        """
        adapter = self._told(breaker, asked=False, target=target, library=library)
        Gate(adapter).report(state, cause=cause, reason=reason, detail=detail)

    def _told(
        self, breaker: str, *, asked: bool, target: Optional[str], library: Optional[str]
    ) -> GateAdapter:
        if self._closed:  # at the very end there is nobody to tell
            return GateAdapter(breaker, library, asked=asked)
        adapter = self._roster.gate(breaker, asked=asked, target=target, library=library)
        if not adapter.attached:
            log.warning("Panelboard: %s is not told, %d breakers are", breaker, MAX_BREAKERS)
        return adapter

    def flush(self, timeout: Optional[float] = 5.0) -> bool:
        """Waits up to `timeout` seconds (None: for ever) until the server has committed all
        that happened so far; False if it did not, or the panel is off."""
        if self._link is None:
            return len(self._buffer) == 0
        self._link.wake()
        return self._buffer.wait(timeout)

    def close(self, timeout: float = GOODBYE_S) -> None:
        """Sends what waits if the server is there, says goodbye, and lets go of the breakers:
        they work on as their library made them. Takes `timeout` seconds at most."""
        if self._closed:
            return
        self._closed = True
        live.discard(self)
        if self._link is not None:
            self._link.stop(timeout)
        self._roster.release()
        leave_sigterm()

    def say_goodbye(self) -> None:
        """As close(), for a process that is about to die: the breakers stay as they are."""
        if self._link is not None and self.connected:
            self._link.stop(GOODBYE_S)

    def __enter__(self) -> Panel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Panel:
        return self

    async def __aexit__(self, *_: object) -> None:
        # Saying goodbye takes a moment, in which the loop has better things to do.
        await asyncio.get_running_loop().run_in_executor(None, self.close)

    def _wake(self) -> None:
        link = self._link
        if link is not None:
            link.wake()

    def _new_link(self, url: str, settle_s: float = 0.0) -> Link:
        return Link(
            url=url,
            api_key=self._api_key,
            identity=self._identity,
            roster=self._roster,
            buffer=self._buffer,
            state_file=self._state_file,
            settle_s=settle_s,
        )

    def _after_fork(self) -> None:
        """In a forked child: threads do not survive, so a new one, as a new instance."""
        self._identity.reborn()
        self._buffer.after_fork()
        self._roster.after_fork(self._identity.boot)
        inherited = self._link
        if inherited is not None and self._url is not None:
            inherited.abandon()
            _inherited.append(inherited)
            self._link = self._new_link(self._url, FORK_SETTLE_S)
            self._link.start()


_inherited: List[Link] = []
"""Kept for good: were the parent's loop collected here, it would close what the parent uses."""


def agent_url(url: str) -> str:
    """`http://host:8000` -> `ws://host:8000/agent/v1`. Raises ValueError for other schemes."""
    parts = urlsplit(url.strip())
    scheme = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}.get(parts.scheme)
    if scheme is None or not parts.hostname:
        raise ValueError(f"PANELBOARD_URL must be http(s)://host[:port], not {url!r}")
    return urlunsplit((scheme, parts.netloc, parts.path.rstrip("/") + "/agent/v1", "", ""))


def _checked(labels: Dict[str, str]) -> Dict[str, str]:
    if len(labels) > MAX_LABELS:
        raise ValueError(f"at most {MAX_LABELS} labels, not {len(labels)}")
    for key, value in labels.items():
        if not 1 <= len(key) <= 64 or len(value) > 200:
            raise ValueError(f"label {key!r}: a key has 1 to 64 characters, a value at most 200")
    return dict(labels)


def _reconnect_children() -> None:
    for panel in list(live):
        try:
            panel._after_fork()
        except Exception:  # a fork of the service must not fail over this
            log.exception("the panel is off in this child")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reconnect_children)
