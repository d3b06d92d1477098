"""The kinds of channels: one module each. A kind renders and sends; it touches no database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, get_args, get_type_hints

import msgspec

from alerts.messages import Message
from alerts.sentences import Told
from breakers.kinds import Kind, Kinds
from breakers.wire import Summary

MASK = "***"
"""What stands for a secret that is set."""

Secret = Annotated[str, msgspec.Meta(min_length=1, max_length=2000, extra={"secret": True})]


@dataclass(frozen=True, slots=True)
class Sent:
    status: int | None
    detail: str


@dataclass(frozen=True, slots=True)
class Failed:
    """`final`: trying again cannot help. `gone`: the receiver wants no more of anything."""

    status: int | None
    detail: str
    retry_after: float | None = None
    final: bool = False
    gone: bool = False


Outcome = Sent | Failed


@dataclass(frozen=True, slots=True)
class Parcel:
    """One message as it is sent: `id` is the same at every attempt, and so is `body`."""

    id: str
    message: Message
    body: str
    now: datetime
    secrets: Mapping[str, Any] = field(repr=False)
    """What the kind made for itself when the channel was created."""


class ChannelKind(Kind, frozen=True):
    """A way to send; the fields of a kind are its config."""

    lease_s = 30.0
    """Longer than any attempt may take (a webhook: 15 s); a worker that dies with one in hand delays it so long."""

    gathers_s = 0.0
    """For how long the beginning of an incident waits, so that one message tells of all that opened together."""

    @classmethod
    def make_secrets(cls) -> dict[str, Any]:
        """Secrets that Panelboard itself makes for a new channel."""
        return {}

    def foresee(self) -> str | None:
        """Why Panelboard itself would refuse to send, as things are; nothing is sent to find out."""
        return None

    def may_keep_secrets_of(self, before: Mapping[str, Any]) -> bool:
        """Whether secrets entered for the config `before` may be sent to where this one leads."""
        return True

    @classmethod
    def for_readers(cls, config: Mapping[str, Any]) -> dict[str, Any]:
        """The config as those see it who may not change it, and as the audit log keeps it."""
        return dict(config)

    def render(self, message: Message, breakers: Sequence[Summary], told: Told) -> str:
        """What is sent, with the message's first breakers and what is told of them; kept for all attempts."""
        raise NotImplementedError

    def send(self, parcel: Parcel) -> Outcome:
        """One attempt, from a thread; expected failures are values."""
        raise NotImplementedError


channel_kinds = Kinds(ChannelKind, package="alerts.channels", group="panelboard.channels")


def secret_fields(cls: type[ChannelKind]) -> frozenset[str]:
    """The fields of a kind's config that are secrets."""
    hints = get_type_hints(cls, include_extras=True)
    return frozenset(name for name in cls.__struct_fields__ if _is_secret(hints[name]))


def _is_secret(hint: Any) -> bool:
    marks = getattr(hint, "__metadata__", ())
    if any(isinstance(mark, msgspec.Meta) and (mark.extra or {}).get("secret") for mark in marks):
        return True
    return any(_is_secret(part) for part in get_args(hint) if part is not hint)
