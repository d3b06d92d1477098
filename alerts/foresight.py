"""What would keep channels from sending, looked for anew while they wait for their next message: what is allowed, what
names mean and which keys there are may have changed since they were made, above all where a backup was restored."""

from __future__ import annotations

import random
import time

from alerts.models import Channel
from alerts.ready import kind_of

_WITHIN_S = 20.0
"""For all names that are looked up, one after the other; whose turn did not come has another chance in a minute."""


def foresee_all() -> None:
    """Of all channels that are on. Nothing is sent."""
    end = time.monotonic() + _WITHIN_S
    channels = list(Channel.objects.filter(enabled=True, deleted_at=None))
    random.shuffle(channels)
    for channel in channels:
        if time.monotonic() > end:
            return
        kind, problem = kind_of(channel)
        foreseen = kind.foresee() if kind else problem[:500]
        if foreseen != channel.foreseen:
            # Who changes it meanwhile knows better.
            same = Channel.objects.filter(pk=channel.pk, updated_at=channel.updated_at)
            same.update(foreseen=foreseen)
