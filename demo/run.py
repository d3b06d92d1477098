"""Runs demo systems in the foreground, with their load and their control page.

    python -m demo.run [shop ...]

Needs PANELBOARD_URL and PANELBOARD_API_KEY (scopes ingest, agent, read, operate, admin), and
finds the panel's data directory by PANELBOARD_DATA_DIR. Ends on SIGTERM or SIGINT.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import sys
import threading

from demo import announce
from demo.control import Control, Running
from demo.http import Server, listen
from demo.inbox import Inbox
from demo.overrides import Overrides
from demo.processes import Processes
from demo.setup import Setup
from demo.systems import SYSTEMS
from demo.traffic import Traffic

PORT_FILE = "demo_port"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m demo.run", description="Runs demo systems.")
    parser.add_argument(
        "systems", nargs="*", metavar="SYSTEM", help=f"of {', '.join(SYSTEMS)}, or all"
    )
    names = parser.parse_args(arguments).systems or ["shop"]
    names = list(SYSTEMS) if "all" in names else names
    unknown = [name for name in names if name not in SYSTEMS]
    if unknown:
        parser.error(f"no system {', '.join(unknown)}; there is {', '.join(SYSTEMS)}")
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    run(list(dict.fromkeys(names)), ended)
    return 0


def run(names: list[str], ended: threading.Event) -> None:
    """Until `ended` is set; leaves no process behind."""
    folder = announce.data_dir()
    folder.mkdir(parents=True, exist_ok=True)
    panel_url = os.environ.get("PANELBOARD_URL", "")
    with contextlib.ExitStack() as last:
        running = [_start(name, last) for name in names]
        sock = _listen_as_before()
        port = sock.getsockname()[1]
        api_key = os.environ.get("PANELBOARD_API_KEY", "")
        overrides = Overrides(url=panel_url, api_key=api_key)
        setup = Setup(
            url=panel_url,
            api_key=api_key,
            data_dir=folder,
            hook_url=f"http://127.0.0.1:{port}/hooks/panelboard",
        )
        inbox = Inbox(folder / "mail", setup.secret)
        public_url = os.environ.get("PUBLIC_URL") or panel_url
        control = Control(
            running, inbox=inbox, setup=setup, overrides=overrides, port=port, panel_url=public_url
        )
        server = Server(sock, control.routes())
        server.start()
        last.callback(server.stop)
        announce.announce({"control": server.url, "pid": os.getpid(), "systems": names})
        last.callback(announce.withdraw)
        announce.say(f"Demo control page: {server.url}/")
        if panel_url:
            setup.start()
            last.callback(setup.stop)
            overrides.start()
            last.callback(overrides.stop)
        ended.wait()


def _start(name: str, last: contextlib.ExitStack) -> Running:
    system = SYSTEMS[name]
    processes = Processes(system)
    last.callback(processes.stop)
    processes.start()
    traffic = Traffic(processes.urls(system.entrance), requests_per_s=system.requests_per_s)
    traffic.start()
    last.callback(traffic.stop)
    return Running(processes, traffic)


def _listen_as_before() -> socket.socket:
    """On the port of the last run if it is free, so that bookmarks and the webhook's address
    stay right."""
    path = announce.data_dir() / PORT_FILE
    try:
        return listen(int(path.read_text()))
    except (OSError, ValueError, OverflowError):
        sock = listen()
        path.write_text(str(sock.getsockname()[1]))
        return sock


if __name__ == "__main__":
    sys.exit(main())
