"""A webhook's receiver that refuses each message once, and so sees each twice at least."""

from __future__ import annotations

import json
import threading
from collections import Counter, defaultdict
from typing import Any

from pytest_httpserver import HTTPServer
from standardwebhooks import Webhook
from werkzeug import Request, Response


class Receiver:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._server = HTTPServer(host="127.0.0.1", port=0, threaded=True)
        self._server.expect_request("/hook", method="POST").respond_with_handler(self._take)
        self.secret = ""
        self.attempts: Counter[str] = Counter()
        self.ids: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        """By incident and type, the ids under which that came."""
        self.forged = 0

    def __enter__(self) -> Receiver:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    @property
    def url(self) -> str:
        return str(self._server.url_for("/hook"))

    def _take(self, request: Request) -> Response:
        id = request.headers["webhook-id"]
        with self._lock:
            try:
                Webhook(self.secret).verify(request.data, dict(request.headers))
            except Exception:
                self.forged += 1
            message: dict[str, Any] = json.loads(request.data)
            self.ids[message["data"]["incident"]["id"], message["type"]].add(id)
            self.attempts[id] += 1
            return Response(status=200 if self.attempts[id] > 1 else 503)
