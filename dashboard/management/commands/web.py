"""`manage.py web`: pages, API, ingest and sockets, in one process or several."""

from __future__ import annotations

import socket
import sys
from typing import Any

import uvicorn
from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from uvicorn.supervisors import Multiprocess

from dashboard.arguments import count
from dashboard.arguments import port as port_number
from dashboard.crowd import allow_open_files
from dashboard.sockets import HttpProtocol, SocketProtocol

STARTUP_FAILURE = 3


class Command(BaseCommand):
    help = "Serves pages, API, events and sockets."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--host", default="127.0.0.1", help="address to listen on (%(default)s)"
        )
        parser.add_argument(
            "--port", type=port_number, default=8000, help="port to listen on (%(default)s)"
        )
        parser.add_argument("--workers", type=count, default=1, help="processes (%(default)s)")
        parser.add_argument(
            "--fd", type=int, help="a listening socket to use instead of host and port"
        )

    def handle(
        self, *args: Any, host: str, port: int, workers: int, fd: int | None, **options: Any
    ) -> None:
        allow_open_files()
        config = configuration(host=host, port=port, workers=workers)
        sock = socket.socket(fileno=fd) if fd is not None else config.bind_socket()
        if workers > 1:
            Multiprocess(config, sockets=[sock]).run()
            return
        server = uvicorn.Server(config)
        server.run(sockets=[sock])
        if not server.started:
            sys.exit(STARTUP_FAILURE)


def configuration(*, host: str, port: int, workers: int) -> uvicorn.Config:
    """What each web process runs with; why is in docs/decisions/0001."""
    proxies = settings.CONFIG.trusted_proxies
    return uvicorn.Config(
        "dashboard.asgi:application",
        host=host,
        port=port,
        workers=workers,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=2048,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=proxies or None,
        http=HttpProtocol,
        ws=SocketProtocol,
        # A frame has a request's limit.
        ws_max_size=1024 * 1024,
        ws_max_queue=8,
        ws_ping_interval=20,
        ws_ping_timeout=20,
        # Costs 34 KiB a socket and a third of the throughput.
        ws_per_message_deflate=False,
        # Without it, open sockets would hold up the end for ever.
        timeout_graceful_shutdown=15,
    )
