"""The kinds of channels: one module each."""

from __future__ import annotations

from breakers.kinds import Kind, Kinds


class ChannelKind(Kind, frozen=True):
    pass


channel_kinds = Kinds(ChannelKind, package="alerts.channels", group="panelboard.channels")
