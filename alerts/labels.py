"""The labels by which matchers choose. Pure."""

from __future__ import annotations

from collections.abc import Mapping

BUILT_IN = ("environment", "service", "breaker", "target", "instance", "library")
"""What each breaker instance has, whatever it says of itself; the rest are the labels that agents send."""


def labels_of(
    own: Mapping[str, str],
    *,
    environment: str,
    service: str,
    breaker: str,
    target: str | None,
    instance: str,
    library: str | None,
) -> dict[str, str]:
    """All labels of a breaker instance; its `own` never hide a built-in one."""
    return {
        **own,
        "environment": environment,
        "service": service,
        "breaker": breaker,
        "target": target or "",
        "instance": instance,
        "library": library or "",
    }
