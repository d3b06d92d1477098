"""The demo's control page: its buttons, what customers get, and what the panel sent."""

from __future__ import annotations

import itertools
import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from demo.http import Request, Response, Routes, as_html, as_json
from demo.inbox import Inbox
from demo.overrides import Overrides
from demo.processes import Processes
from demo.setup import Setup
from demo.system import Fault
from demo.traffic import Traffic

PAGE = Path(__file__).parent / "page"
FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
}
SECURITY = {
    "Content_Security_Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X_Content_Type_Options": "nosniff",
    "Referrer_Policy": "no-referrer",
    "Cache_Control": "no-store",
}
ENTRANCE_TIMEOUT_S = 3.0


class Running:
    """One system at work."""

    def __init__(self, processes: Processes, traffic: Traffic) -> None:
        self.processes = processes
        self.system = processes.system
        self.traffic = traffic
        self.entrances = itertools.cycle(processes.urls(self.system.entrance))


class Control:
    def __init__(
        self,
        running: list[Running],
        *,
        inbox: Inbox,
        setup: Setup,
        overrides: Overrides,
        port: int,
        panel_url: str,
    ) -> None:
        self._running = {each.system.name: each for each in running}
        self._inbox = inbox
        self._setup = setup
        self._overrides = overrides
        self._hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
        self._url = f"http://127.0.0.1:{port}"
        self._panel_url = panel_url

    def routes(self) -> Routes:
        return {
            **{("GET", path): self._file for path in FILES},
            ("GET", "/api/state"): self._state,
            ("GET", "/api/faults"): lambda _: as_json(self._faults()),
            ("POST", "/api/faults"): self._set_fault,
            ("POST", "/api/mend"): self._mend,
            ("POST", "/hooks/panelboard"): self._inbox.receive,
            **{("GET", f"/{name}/"): self._customer for name in self._running},
        }

    def customer_url(self, system: str) -> str:
        return f"{self._url}/{system}/"

    def _faults(self) -> list[dict[str, Any]]:
        return [
            {
                "system": name,
                "fault": fault.name,
                "active": fault.name in running.processes.active(),
                "breakers": [{"service": s, "breaker": b} for s, b in fault.opens],
                "customer_url": self.customer_url(name),
                "label": fault.label,
                "effect": fault.effect,
            }
            for name, running in self._running.items()
            for fault in running.system.faults
        ]

    def _set_fault(self, request: Request) -> Response:
        if (refused := self._foreign(request)) is not None:
            return refused
        try:
            wish = json.loads(request.body)
            system, name, on = wish["system"], wish["fault"], bool(wish["on"])
        except (ValueError, KeyError, TypeError):
            return as_json({"detail": "say system, fault and on"}, 400)
        running = self._running.get(system)
        if running is None:
            known = ", ".join(self._running)
            return as_json({"detail": f"no system {system!r} runs; there is {known}"}, 404)
        fault = _named(running, name)
        if fault is None:
            known = ", ".join(f.name for f in running.system.faults)
            return as_json({"detail": f"{system} has no fault {name!r}; it has {known}"}, 404)
        running.processes.set_fault(fault, on=on)
        return as_json({"system": system, "fault": name, "active": on})

    def _mend(self, request: Request) -> Response:
        if (refused := self._foreign(request)) is not None:
            return refused
        for running in self._running.values():
            for fault in running.system.faults:
                if fault.name in running.processes.active():
                    running.processes.set_fault(fault, on=False)
        return as_json(self._faults())

    def _foreign(self, request: Request) -> Response | None:
        """Refuses what another site's page sends: browsers say where a POST comes from. A name
        that was made to point here (DNS rebinding) shows in Host."""
        origin = request.headers.get("origin")
        ours = {f"http://{host}" for host in self._hosts}
        same = (
            request.headers.get("host") in self._hosts
            and (origin is None or origin in ours)
            and request.headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none")
            and request.headers.get("content-type", "").startswith("application/json")
        )
        return None if same else as_json({"detail": "only from the control page itself"}, 403)

    def _state(self, _: Request) -> Response:
        systems = [
            {
                "name": name,
                "customer_url": self.customer_url(name),
                "shares": running.traffic.shares(),
                "answers": running.traffic.latest()[:24],
            }
            for name, running in self._running.items()
        ]
        state = {
            "panel": self._panel_url,
            "setup": self._setup.state,
            "held": self._overrides.now,
            "systems": systems,
            "faults": self._faults(),
            "webhooks": self._inbox.webhooks()[:12],
            "mails": self._inbox.mails()[:12],
        }
        return Response(json.dumps(state).encode(), headers=SECURITY)

    def _customer(self, request: Request) -> Response:
        """The entrance's page, by whichever of its processes answers first in turn."""
        running = self._running[request.path.strip("/")]
        for _ in running.processes.urls(running.system.entrance):
            try:
                with urllib.request.urlopen(
                    f"{next(running.entrances)}/", timeout=ENTRANCE_TIMEOUT_S
                ) as answer:
                    return _passed_on(answer, answer.read())
            except urllib.error.HTTPError as error:
                return _passed_on(error, error.read())
            except OSError:
                continue
        return as_html("<h1>The shop is closed just now</h1>", 503, X_Source="error")

    def _file(self, request: Request) -> Response:
        name, kind = FILES[request.path]
        return Response((PAGE / name).read_bytes(), kind, headers=SECURITY)


def _named(running: Running, name: str) -> Fault | None:
    return next((fault for fault in running.system.faults if fault.name == name), None)


def _passed_on(answer: Any, body: bytes) -> Response:
    kept = {
        name: answer.headers[name]
        for name in ("X-Source", "Content-Security-Policy")
        if answer.headers[name]
    }
    return Response(body, answer.headers["Content-Type"], answer.status, kept)
