"""Failed sign-ins, counted so that passwords cannot be guessed at the speed of the network.

Counted in Redis for all web processes together, per name and per address; a name is stored as a hash, for
people type passwords into the wrong field. With Redis away nobody is kept out: the panel is needed most then.
"""

from __future__ import annotations

import hashlib
from functools import cache

import redis
import structlog
from django.conf import settings

WITHIN_S = 300
PER_NAME, PER_ADDRESS = 10, 50
_log = structlog.get_logger(__name__)


@cache
def _client() -> redis.Redis:
    return redis.Redis.from_url(settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1)


def _keys(username: str, address: str) -> dict[str, int]:
    hashed = hashlib.sha256(username.casefold().encode(errors="replace")).hexdigest()
    return {
        f"panelboard:attempts:name:{hashed}": PER_NAME,
        f"panelboard:attempts:address:{address}": PER_ADDRESS,
    }


def wait_s(username: str, address: str) -> int:
    """Seconds until the next try is looked at; 0: now."""
    longest = 0
    try:
        for key, most in _keys(username, address).items():
            count = _client().get(key)
            if count is not None and int(count) >= most:
                longest = max(longest, int(_client().ttl(key)), 1)
    except (redis.RedisError, OSError) as problem:
        _log.warning("attempts not counted", error=str(problem))
    return longest


def note_failure(username: str, address: str) -> None:
    """One more failed try; the count ends `WITHIN_S` seconds after its first."""
    try:
        with _client().pipeline() as pipe:
            for key in _keys(username, address):
                pipe.incr(key)
                pipe.expire(key, WITHIN_S, nx=True)
            pipe.execute()
    except (redis.RedisError, OSError) as problem:
        _log.warning("attempts not counted", error=str(problem))


def forget(username: str) -> None:
    """The right password: the name begins anew, the address does not."""
    try:
        _client().delete(next(iter(_keys(username, ""))))
    except (redis.RedisError, OSError) as problem:
        _log.warning("attempts not counted", error=str(problem))
