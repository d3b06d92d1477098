"""Ports of this machine."""

from __future__ import annotations

import random
import socket

from dashboard.supervisor.process import UpError

# Below the range from which Linux and macOS number outgoing connections: a server that is started again
# must find its port free.
_OURS = range(20_000, 32_000)


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1 now."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            return False
        return True


def loopback_port(*, preferred: int | None = None) -> int:
    """A free port for a server of ours: the preferred one if it is free."""
    if preferred is not None and is_free(preferred):
        return preferred
    for port in random.sample(_OURS, 200):
        if is_free(port):
            return port
    raise UpError(f"No port between {_OURS.start} and {_OURS.stop} of 127.0.0.1 is free.")


def listen(host: str, port: int) -> socket.socket:
    """The web socket; port 0 means any free one. Raises `UpError` if it is taken.

    It listens from now until `up` ends: whoever connects while the web process starts or is restarted waits
    a moment and is not refused.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise UpError(f"--host {host} cannot be used: {error.strerror}.") from None
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(address)
        sock.listen(2048)
    except OSError as error:
        sock.close()
        raise UpError(
            f"Port {port} of {host} cannot be used ({error.strerror}): stop what has it, or choose another "
            "with --port."
        ) from None
    return sock
