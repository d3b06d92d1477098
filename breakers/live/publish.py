"""Telling every web process what changed. A message may be lost: it saves a second, no more.

Each process listens once, as one channel of one group of the channel layer. Code without an event
loop publishes by a plain Redis client, for the layer would open a connection for each loop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import redis
import structlog
from channels.layers import get_channel_layer
from django.conf import settings

GROUP = "panelboard"
_CHANNEL = f"asgi__group__{GROUP}"
_TIMEOUT_S = 0.5
_log = structlog.get_logger(__name__)


@cache
def _client() -> redis.Redis:
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=_TIMEOUT_S,
        socket_connect_timeout=_TIMEOUT_S,
        max_connections=16,
    )


def _announce(kind: str, **content: Any) -> None:
    try:
        payload = get_channel_layer().serialize({"type": kind, **content})
        _client().publish(_CHANNEL, payload)
    except (redis.RedisError, OSError) as problem:
        _log.info("announcement lost", kind=kind, error=str(problem))


def announce_changed(breaker_ids: Sequence[int]) -> None:
    """These breakers' summaries may differ now."""
    _announce("changed", breakers=list(breaker_ids))


def announce_desired(service_ids: Sequence[int]) -> None:
    """Something is wished anew of breakers of these services."""
    _announce("desired", services=list(service_ids))


def announce_incident(
    payload: Mapping[str, Any],
    environment: str,
    condition: str,
    breakers: Mapping[str, tuple[str, str]],
) -> None:
    """An incident began, changed or ended. `breakers` names each of its breakers, as (service, breaker), by whose
    limits readers are told."""
    _announce(
        "incident",
        incident=dict(payload),
        environment=environment,
        condition=condition,
        breakers=dict(breakers),
    )
