"""HTTP for the demo's processes: routes to functions, over the standard library alone.

A dozen requests a second need no framework, and seven processes without one start in a moment.
"""

from __future__ import annotations

import json
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

MAX_BODY = 1 << 20


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


@dataclass(frozen=True)
class Response:
    body: bytes
    type: str = "application/json"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Route = Callable[[Request], Response]
Routes = Mapping[tuple[str, str], Route]
"""(method, path) -> function; a path that ends in `/*` takes all below it."""


def as_json(value: Any, status: int = 200, **headers: str) -> Response:
    return Response(json.dumps(value).encode(), status=status, headers=headers)


def as_html(text: str, status: int = 200, **headers: str) -> Response:
    return Response(text.encode(), "text/html; charset=utf-8", status, headers)


def listen(port: int = 0) -> socket.socket:
    """On loopback alone. Port 0: any free one. Raises OSError if it is taken."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    sock.listen(64)
    return sock


class Server:
    def __init__(self, sock: socket.socket, routes: Routes) -> None:
        self._server = _Server(sock.getsockname(), _handler(routes), bind_and_activate=False)
        self._server.socket.close()
        self._server.socket = sock
        self._server.server_name, self._server.server_port = sock.getsockname()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, args=(0.2,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def get_json(url: str, *, timeout_s: float) -> Any:
    """Raises OSError (urllib.error.HTTPError is one) or ValueError."""
    with urllib.request.urlopen(url, timeout=timeout_s) as answer:
        return json.load(answer)


def send_json(
    method: str,
    url: str,
    value: Any = None,
    *,
    timeout_s: float = 5.0,
    headers: Mapping[str, str] | None = None,
) -> Any:
    """Raises as `get_json`; an empty answer is None."""
    request = urllib.request.Request(
        url,
        method=method,
        data=None if value is None else json.dumps(value).encode(),
        headers={"Content-Type": "application/json", **(headers or {})},
    )
    with urllib.request.urlopen(request, timeout=timeout_s) as answer:
        body = answer.read()
    return json.loads(body) if body else None


class _Server(ThreadingHTTPServer):
    daemon_threads = True


def _handler(routes: Routes) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        server_version = "demo"
        sys_version = ""
        timeout = 30
        wbufsize = 1 << 16  # one packet an answer

        def do_GET(self) -> None:
            self._answer(b"")

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            if not 0 <= length <= MAX_BODY:
                self._write(as_json({"title": "too large"}, 413))
                return
            self._answer(self.rfile.read(length))

        def _answer(self, body: bytes) -> None:
            parts = urlsplit(self.path)
            route = _find(routes, self.command, parts.path)
            if route is None:
                self._write(as_json({"title": "not found"}, 404))
                return
            request = Request(
                self.command,
                parts.path,
                {name: values[-1] for name, values in parse_qs(parts.query).items()},
                {name.lower(): value for name, value in self.headers.items()},
                body,
            )
            try:
                answer = route(request)
            except Exception as error:  # a process of the demo lives on, and says so
                answer = as_json({"title": "error", "detail": type(error).__name__}, 500)
                self.log_error("%r in %s", error, self.path)
            self._write(answer)

        def _write(self, answer: Response) -> None:
            try:
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.type)
                self.send_header("Content-Length", str(len(answer.body)))
                for name, value in answer.headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                self.wfile.write(answer.body)
                self.wfile.flush()
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True  # it gave up waiting, as callers do

        def log_request(self, *_: object) -> None:
            pass

    return Handler


def _find(routes: Routes, method: str, path: str) -> Route | None:
    exact = routes.get((method, path))
    if exact is not None:
        return exact
    for (wanted, pattern), route in routes.items():
        if wanted == method and pattern.endswith("/*") and path.startswith(pattern[:-1]):
            return route
    return None
