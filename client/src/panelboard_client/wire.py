"""The frames of `/agent/v1`: built from and parsed into plain values, without I/O."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Dict, List, NamedTuple, Optional, Union

from panelboard_client.version import __version__

CLOSED = "closed"
OPEN = "open"
HALF_OPEN = "half_open"
FORCED_OPEN = "forced_open"
FORCED_CLOSED = "forced_closed"

MODES = (FORCED_OPEN, FORCED_CLOSED)
COMMANDS = ("trip", "reset")

MAX_NAME = 200
MAX_REASON = 64
MAX_DETAIL = 2000
MAX_BREAKERS = 1000
"""What a hello may carry."""
MIN_DUE_S, MAX_DUE_S = -365 * 86400, 86400
"""How far from now a probe may be due; the panel would refuse the whole event past that."""
MAX_BATCH = 200
"""Events a frame: 200 of the longest stay well under the 1 MiB that a frame may have."""


class Event(NamedTuple):
    """What happened to one breaker; `at` and `id` are fixed here, so sending it twice is harmless."""

    id: str
    breaker: str
    type: str
    seq: int
    at: float
    """Seconds since the epoch."""
    target: Optional[str] = None
    library: Optional[str] = None
    from_: Optional[str] = None
    to: Optional[str] = None
    natural: Optional[str] = None
    cause: Optional[str] = None
    reason: Optional[str] = None
    detail: Optional[str] = None
    metrics: Optional[Dict[str, Any]] = None
    probe_due_at: Optional[float] = None
    """Seconds since the epoch."""


@dataclass(frozen=True)
class Command:
    id: str
    command: str
    expires_in: float
    """Seconds from receipt."""


@dataclass(frozen=True)
class Order:
    """One `desired` frame: what the panel wants of a breaker."""

    breaker: str
    revision: int
    mode: Optional[str] = None
    reason: str = ""
    expires_in: Optional[float] = None
    """Seconds from receipt; None: stands until a later revision."""
    command: Optional[Command] = None


@dataclass(frozen=True)
class Applied:
    breaker: str
    revision: int
    error: Optional[str]
    state: str
    natural: str


@dataclass(frozen=True)
class Welcome:
    heartbeat: float
    desired: List[Order]
    unknown_revisions: List[str]
    """The breakers of which the panel never wished what we said to have applied."""


@dataclass(frozen=True)
class Ack:
    batch: int
    rejected: List[Any]


@dataclass(frozen=True)
class Pong:
    pass


Frame = Union[Welcome, Ack, Order, Pong]


class NotUnderstood(ValueError):
    """The server sent something that is not a frame of this protocol."""


def rfc3339(at: float) -> str:
    """The same text for the same `at`, always: a repeat is recognised by it."""
    return datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="microseconds")


def encode(frame: Dict[str, Any]) -> str:
    """JSON without the fields that are None: for the contract they are the same."""
    kept = {key: value for key, value in frame.items() if value is not None}
    return json.dumps(kept, separators=(",", ":"), ensure_ascii=False)


def hello(
    *,
    service: str,
    environment: Optional[str],
    instance: str,
    boot: str,
    connection: int,
    labels: Dict[str, str],
    breakers: List[Dict[str, Any]],
) -> str:
    return encode(
        {
            "type": "hello",
            "protocol": 1,
            "sent_at": rfc3339(time.time()),
            "service": service,
            "environment": environment,
            "instance": instance,
            "boot": boot,
            "connection": connection,
            "agent": {"name": "panelboard-client", "version": __version__},
            "labels": labels,
            "breakers": breakers,
        }
    )


def events(batch: int, batch_of: List[Event]) -> str:
    return encode({"type": "events", "batch": batch, "events": [_event(e) for e in batch_of]})


def applied(answer: Applied) -> str:
    frame: Dict[str, Any] = {
        "type": "applied",
        "breaker": answer.breaker,
        "revision": answer.revision,
        "ok": answer.error is None,
        "state": answer.state,
        "natural_state": answer.natural,
    }
    if answer.error is not None:
        frame["error"] = answer.error[:MAX_DETAIL]
    return encode(frame)


def ping() -> str:
    return encode({"type": "ping", "sent_at": rfc3339(time.time())})


def goodbye() -> str:
    return '{"type":"goodbye"}'


def parse(text: Union[str, bytes]) -> Optional[Frame]:
    """The frame, or None for a type that a later server may have and we do not know.

    Raises NotUnderstood for what is no frame at all.
    """
    try:
        data = json.loads(text)
        kind = data["type"]
        if kind == "welcome":
            return Welcome(
                heartbeat=float(data.get("heartbeat") or 10),
                desired=[_order(each) for each in data.get("desired") or ()],
                unknown_revisions=[
                    str(each["breaker"])
                    for each in data.get("warnings") or ()
                    if each.get("code") == "revision_unknown"
                ],
            )
        if kind == "ack":
            return Ack(batch=int(data["batch"]), rejected=_rejected(data.get("rejected")))
        if kind == "desired":
            return _order(data)
        if kind == "pong":
            return Pong()
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise NotUnderstood(f"{type(error).__name__}: {error}") from error
    return None


def _rejected(value: Any) -> List[Any]:
    # The count alone would do as well; neither form may break the ack.
    return value if isinstance(value, list) else [None] * int(value or 0)


def _order(data: Dict[str, Any]) -> Order:
    command = data.get("command")
    expires_in = data.get("expires_in")
    return Order(
        breaker=str(data["breaker"]),
        revision=int(data["revision"]),
        mode=data.get("mode"),
        reason=str(data.get("reason") or ""),
        expires_in=None if expires_in is None else float(expires_in),
        command=None
        if command is None
        else Command(
            id=str(command["id"]),
            command=str(command["command"]),
            expires_in=float(command.get("expires_in", 60)),
        ),
    )


def _event(event: Event) -> Dict[str, Any]:
    fields = {
        "id": event.id,
        "breaker": event.breaker,
        "type": event.type,
        "seq": event.seq,
        "occurred_at": rfc3339(event.at),
        "target": event.target,
        "library": event.library,
        "from": event.from_,
        "to": event.to,
        "natural_state": event.natural,
        "cause": event.cause,
        "reason": event.reason,
        "detail": event.detail,
        "metrics": event.metrics,
        "probe_due_at": None if event.probe_due_at is None else rfc3339(event.probe_due_at),
    }
    return {key: value for key, value in fields.items() if value is not None}
