"""Telling live sockets of incidents, once they are committed."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import msgspec
import structlog
from django.db import transaction

from alerts.models import Incident
from alerts.read import incidents_as_seen
from breakers.live.publish import announce_incident

EVERY_S = 0.5
REST = 10
"""Times as long as the telling took: an incident comes with all of its breakers, and may hold half of a fleet."""
_log = structlog.get_logger(__name__)


@dataclass
class _Untold:
    ids: set[int] = field(default_factory=set)
    told_at: float = float("-inf")
    took_s: float = 0.0


_untold: ContextVar[_Untold | None] = ContextVar("untold", default=None)


def announce(incidents: Iterable[Incident]) -> None:
    """After commit, each as it is then; losing it is no loss, for pages read the database."""
    ids = [incident.pk for incident in incidents]
    if ids:
        transaction.on_commit(lambda: _tell(ids), robust=True)


@contextmanager
def told_together() -> Iterator[None]:
    """What is committed inside is told each half second or, where that takes long, in a tenth of the time, if `tell_due`
    is called as often: in a storm, claim after claim changes the same incidents."""
    untold = _Untold()
    token = _untold.set(untold)
    try:
        yield
    finally:
        _untold.reset(token)
        try:
            _send(untold.ids)
        except Exception:
            _log.exception("incidents not told", count=len(untold.ids))


def tell_due() -> None:
    """Tells what has waited for long enough; outside of transactions."""
    try:
        _tell(())
    except Exception:
        _log.exception("incidents not told")


def _tell(ids: Iterable[int]) -> None:
    untold = _untold.get()
    if untold is None:
        _send(ids)
        return
    untold.ids.update(ids)
    now = time.monotonic()
    if untold.ids and now - untold.told_at >= max(EVERY_S, REST * untold.took_s):
        due, untold.ids, untold.told_at = untold.ids, set(), now
        _send(due)
        untold.took_s = time.monotonic() - now


def _send(ids: Iterable[int]) -> None:
    for seen in incidents_as_seen(list(ids)):
        payload: dict[str, Any] = msgspec.to_builtins(seen.incident)
        announce_incident(payload, seen.environment, seen.condition, seen.breakers)
