"""Failed sign-ins, counted so that passwords cannot be guessed at the speed of the network.

Counted in Redis for all web processes together. A try is counted before its password is looked at, in one
step with the look at the bounds, so that a hundred at once are counted like a hundred in a row; the right
password takes its own count back. What locks is counted per name and address together, and per address:
strangers cannot lock a name's owner out. Per name alone there is a far higher bound, past which its tries
take turns; addresses from which its owner signed in lately need not wait for one. A name is stored as a
hash, for people type passwords into the wrong field. With Redis away nobody is kept out: the panel is
needed most then.
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import cast

import redis
import structlog
from django.conf import settings

WITHIN_S = 300
"""A count ends so long after its first try."""
PER_PAIR, PER_ADDRESS, PER_NAME = 10, 50, 200
TURN_S = 3
"""Past PER_NAME, one try of the name so often."""
KNOWN_S = 30 * 86_400
_log = structlog.get_logger(__name__)

_COUNT = """
local pair, address, name, turn, known = unpack(KEYS)
local within, turn_s = ARGV[1], ARGV[2]
local most = {[pair] = ARGV[3], [address] = ARGV[4], [name] = ARGV[5]}

local function full(key)
    return tonumber(redis.call('GET', key) or '0') >= tonumber(most[key])
end

local wait = 0
for _, key in ipairs({pair, address}) do
    if full(key) then wait = math.max(wait, redis.call('TTL', key), 1) end
end
if wait == 0 and full(name) and redis.call('EXISTS', known) == 0
    and not redis.call('SET', turn, '', 'EX', turn_s, 'NX') then
    wait = math.max(redis.call('TTL', turn), 1)
end
if wait == 0 then
    for _, key in ipairs({pair, address, name}) do
        redis.call('INCR', key)
        redis.call('EXPIRE', key, within, 'NX')
    end
end
return wait
"""
_TAKE_BACK = """
local pair, address, name, _, known = unpack(KEYS)
redis.call('DEL', pair)
for _, key in ipairs({address, name}) do
    if tonumber(redis.call('GET', key) or '0') > 0 then redis.call('DECR', key) end
end
redis.call('SET', known, '', 'EX', ARGV[1])
"""


def count_try(username: str, address: str) -> int:
    """Seconds until a try is looked at; 0: this one is, and it counts as failed until taken back."""
    bounds = (WITHIN_S, TURN_S, PER_PAIR, PER_ADDRESS, PER_NAME)
    return _run(_COUNT, username, address, *bounds)


def take_back(username: str, address: str) -> None:
    """The right password: this name begins anew from this address; the other counts lose this one try."""
    _run(_TAKE_BACK, username, address, KNOWN_S)


@cache
def _client() -> redis.Redis:
    return redis.Redis.from_url(settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1)


def _run(script: str, username: str, address: str, *arguments: int) -> int:
    """The number that the script gives; 0 with Redis away."""
    name = hashlib.sha256(username.casefold().encode(errors="replace")).hexdigest()
    # The braces keep all keys on one node of a cluster.
    keys = [
        f"panelboard:{{attempts}}:{part}"
        for part in (
            f"pair:{name}:{address}",
            f"address:{address}",
            f"name:{name}",
            f"turn:{name}",
            f"known:{name}:{address}",
        )
    ]
    try:
        answer = _client().eval(script, len(keys), *keys, *map(str, arguments))
    except (redis.RedisError, OSError) as problem:
        _log.warning("attempts not counted", error=str(problem))
        return 0
    return int(cast("int | None", answer) or 0)
