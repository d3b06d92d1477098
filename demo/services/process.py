"""What each service process does alike: serves on the socket it was handed, fails when told to,
and ends with the one who started it."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time

from demo.http import Request, Response, Routes, Server, as_json

SLOW_S = 3.0
LAST_WORDS_S = 3.0


class Faults:
    """The ways in which this process misbehaves at the moment; none when all is well."""

    def __init__(self) -> None:
        self.modes: frozenset[str] = frozenset(json.loads(os.environ.get("DEMO_FAULTS", "[]")))

    def suffer(self) -> Response | None:
        """What the caller gets instead of an answer, after what it has to wait."""
        if "slow" in self.modes:
            time.sleep(SLOW_S)
        if "errors" in self.modes:
            return as_json({"title": "the database of this service is gone"}, 500)
        return None

    def set(self, request: Request) -> Response:
        self.modes = frozenset(json.loads(request.body))
        return as_json(sorted(self.modes))


def run(routes: Routes) -> None:
    """Serves until SIGTERM, or until the runner is gone: its end of our standard input closes."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    threading.Thread(target=_end_with_parent, args=(ended,), daemon=True).start()
    server = Server(socket.socket(fileno=int(os.environ["DEMO_FD"])), routes)
    server.start()
    ended.wait()
    server.stop()


def instance_name() -> str:
    return os.environ["DEMO_INSTANCE"]


def addresses(service: str) -> list[str]:
    """Where the processes of a service are reached."""
    found: list[str] = json.loads(os.environ["DEMO_ADDRESSES"])[service]
    return found


def _end_with_parent(ended: threading.Event) -> None:
    # Read by descriptor: a thread inside sys.stdin would hold its lock at the interpreter's end.
    while os.read(sys.stdin.fileno(), 4096):
        pass
    ended.set()
    time.sleep(LAST_WORDS_S)
    os._exit(1)
