"""Who this process is to the panel: a service's instance, and one life of it."""

from __future__ import annotations

import os
import secrets
import socket
from typing import Dict, Optional

from panelboard_client.wire import MAX_NAME


class Identity:
    def __init__(
        self,
        *,
        service: str,
        environment: Optional[str],
        instance: Optional[str],
        labels: Dict[str, str],
    ) -> None:
        self.service = service
        self.environment = environment
        self.labels = labels
        self._given = instance
        self.boot = secrets.token_hex(8)
        self.instance = instance or _default_instance()

    def rename(self) -> None:
        """Another process has this instance's name; both are to be seen."""
        self.instance = _with_suffix(self._given) if self._given else _default_instance()

    def reborn(self) -> None:
        """In a forked child: another process is another instance, and a life of its own."""
        self.boot = secrets.token_hex(8)
        self.instance = (
            _with_suffix(self._given, str(os.getpid())) if self._given else _default_instance()
        )


def _default_instance() -> str:
    host = "".join(c for c in socket.gethostname() if c.isprintable()) or "host"
    return f"{host[:150]}-{os.getpid()}-{secrets.token_hex(3)}"


def _with_suffix(name: str, suffix: str = "") -> str:
    suffix = suffix or secrets.token_hex(3)
    return f"{name[: MAX_NAME - len(suffix) - 1]}-{suffix}"
