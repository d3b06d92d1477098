"""How many connections a web process has at once: each is a file, and costs memory from its first byte on."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import time
from functools import cache

import structlog

_log = structlog.get_logger(__name__)
CONNECTIONS_MAX = 20_000
"""An agent costs some 40 kB, a socket whose peer sends and reads nothing up to 130."""
OPEN_FILES_WANTED = 4096
_OTHER_FILES = 256
"""For PostgreSQL, Redis and what is read: without them whoever is connected gets no answer either."""
_FULL = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_WARN_EACH_S = 60.0
_LINGERS_S, _LINGERING_MAX = 1.0, 64


def allow_open_files() -> None:
    """As many as this process, and those that it starts, may have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS takes no "unlimited"
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed != resource.RLIM_INFINITY and allowed < OPEN_FILES_WANTED:
        _log.warning("few open files allowed; raise the hard limit (ulimit -Hn)", limit=allowed)


@cache
def connections_max() -> int:
    """For this process, by the files that it may open when this is first asked."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed == resource.RLIM_INFINITY:
        return CONNECTIONS_MAX
    return min(CONNECTIONS_MAX, max(allowed - _OTHER_FILES, allowed // 2))


class TurnedAway(asyncio.Protocol):
    """Takes the place of a connection's own protocol where there are too many: 503, and it ends."""

    _warned_at = float("-inf")
    _lingering = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        TurnedAway._lingering += 1
        transport.set_protocol(self)
        transport.write(_FULL)
        if TurnedAway._lingering > _LINGERING_MAX:
            transport.close()
        else:
            # To close on what it still sends would reset the connection, and it would not read why.
            transport.write_eof()
            asyncio.get_running_loop().call_later(_LINGERS_S, transport.abort)
        now = time.monotonic()
        if now - TurnedAway._warned_at > _WARN_EACH_S:
            TurnedAway._warned_at = now
            _log.warning(
                "too many connections; further ones are turned away", most=connections_max()
            )

    def connection_lost(self, exc: Exception | None) -> None:
        TurnedAway._lingering -= 1
