"""`connect`, and the Panel that it answers: what a service's own code calls."""

from __future__ import annotations

import atexit
import logging
import os
import weakref
from typing import Dict, List, Optional, TypeVar
from urllib.parse import urlsplit, urlunsplit

from panelboard_client.buffer import Buffer
from panelboard_client.identity import Identity
from panelboard_client.link import Link
from panelboard_client.roster import Roster, check_name
from panelboard_client.wire import MAX_BREAKERS

log = logging.getLogger("panelboard_client")

B = TypeVar("B")

FORK_SETTLE_S = 0.2
"""A child that runs another program at once is no instance: it gets this long to do so."""
GOODBYE_S = 2.0
MAX_LABELS = 16


def connect(
    *,
    url: Optional[str] = None,
    api_key: Optional[str] = None,
    service: Optional[str] = None,
    environment: Optional[str] = None,
    instance: Optional[str] = None,
    labels: Optional[Dict[str, str]] = None,
) -> Panel:
    """Connects this process to the panel, in a thread of its own; returns at once.

    What is not given is taken from PANELBOARD_URL, _API_KEY, _SERVICE, _ENVIRONMENT and
    _INSTANCE. Without a URL or a key the panel is off: `watch` works, nothing is sent, one log
    line says so. A server that is down or refuses the key is no error here: it is tried again.

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
    return Panel(identity=identity, url=agent_url(url) if url else None, api_key=api_key)


class Panel:
    """A service's line to Panelboard. Made by `connect`; safe to use from any thread."""

    def __init__(self, *, identity: Identity, url: Optional[str], api_key: str) -> None:
        self._identity = identity
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
            self._link = self._new_link(url)
            self._link.start()
        _live.add(self)

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
        name = name or getattr(breaker, "name", None)
        if not name:
            raise ValueError("the breaker has no name: pass name=...")
        if self._closed:
            raise ValueError("the panel is closed")
        if not self._roster.watch(breaker, name=name, target=target):
            log.warning("Panelboard: %s is not watched, %d breakers are", name, MAX_BREAKERS)
        return breaker

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
        _live.discard(self)
        if self._link is not None:
            self._link.stop(timeout)
        self._roster.release()

    def __enter__(self) -> Panel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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


_live: weakref.WeakSet[Panel] = weakref.WeakSet()
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
    for panel in list(_live):
        try:
            panel._after_fork()
        except Exception:  # a fork of the service must not fail over this
            log.exception("the panel is off in this child")


def _close_all() -> None:
    for panel in list(_live):
        link = panel._link
        # Whoever is not connected has nobody to say goodbye to, and does not wait.
        panel.close(GOODBYE_S if link is not None and link.connected else 0.0)


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reconnect_children)
