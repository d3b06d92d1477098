"""A channel ready to send: its configuration whole again, with the secrets that are sealed beside it."""

from __future__ import annotations

from alerts.channels import ChannelKind, channel_kinds
from alerts.models import Channel
from alerts.sealing import SecretsUnreadable, unseal
from breakers.errors import Invalid


def kind_of(channel: Channel) -> tuple[ChannelKind | None, str]:
    """Its kind with all that it was configured with, or why that cannot be had."""
    try:
        config = {**channel.config, **unseal(channel.sealed).get("config", {})}
        return channel_kinds.read(channel.kind, config, loc="config"), ""
    except SecretsUnreadable as problem:
        return None, str(problem)
    except Invalid as problem:
        return None, f"The channel's configuration cannot be used: {problem.detail}"
