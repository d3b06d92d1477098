"""Signs of life of worker and beat: keys in Redis that expire unless refreshed.

Cheaper than Celery's `inspect ping` (one GET, where a ping costs a broadcast and a wait), and sooner: a worker
that was killed or stopped is missed after `EXPIRES_S`.
"""

from __future__ import annotations

import os
import socket
import time

import redis
import structlog

KEY_PREFIX = "panelboard:"
EVERY_S = 1.0
EXPIRES_S = 6.0

_log = structlog.get_logger(__name__)
# A laptop changes its name with its network: read once, and handed on to what this process starts.
_HOST = os.environ.setdefault("PANELBOARD_HOST", socket.gethostname())


def any_sign(role: str) -> str:
    """The key that says: at least one `worker` or `beat` lives."""
    return f"{KEY_PREFIX}alive:{role}"


def sign_of(role: str, *, pid: int) -> str:
    """The key of one process of this machine."""
    return f"{any_sign(role)}:{_HOST}:{pid}"


class Signs:
    """What one process writes about itself."""

    def __init__(self, role: str, redis_url: str) -> None:
        self.client = redis.Redis.from_url(redis_url, socket_timeout=2, socket_connect_timeout=2)
        self._keys = (any_sign(role), sign_of(role, pid=os.getpid()))
        self._due = 0.0
        self._heard = True

    def give(self) -> None:
        """Refreshes the keys, at most every `EVERY_S`; without Redis it says so once and goes on."""
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + EVERY_S * 0.9
        try:
            with self.client.pipeline(transaction=False) as pipe:
                for key in self._keys:
                    pipe.set(key, os.getpid(), px=int(EXPIRES_S * 1000))
                pipe.execute()
            self._heard = True
        except redis.RedisError as problem:
            if self._heard:
                _log.warning("no sign of life given", error=str(problem))
            self._heard = False
