"""Tells the panel whom to tell: two channels and a rule, made over its API unless they are there."""

from __future__ import annotations

import json
import os
import threading
import urllib.error
from pathlib import Path
from typing import Any

from demo.announce import say
from demo.http import send_json

MAIL = "On-call mail"
HOOK = "Demo webhook"
RULE = "Breaker opened"
SECRET_FILE = "demo_webhook_secret"
RETRY_S = 3.0

Named = dict[str, Any]


class Setup:
    """Runs in a thread, for the panel may still be starting; tries until it is done."""

    def __init__(self, *, url: str, api_key: str, data_dir: Path, hook_url: str) -> None:
        self._api = f"{url.rstrip('/')}/api/v1"
        self._headers = {"Authorization": f"Bearer {api_key}"}
        self._secret_file = data_dir / SECRET_FILE
        self._hook_url = hook_url
        self._ended = threading.Event()
        self.state = "waiting for the panel"

    def start(self) -> None:
        threading.Thread(target=self._run, daemon=True).start()

    def stop(self) -> None:
        self._ended.set()

    def secret(self) -> str | None:
        try:
            return self._secret_file.read_text().strip() or None
        except OSError:
            return None

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self._make()
                self.state = "done"
                return
            except (OSError, ValueError, KeyError, TypeError) as error:
                said = f"not set up yet: {_why(error)}"
                if said != self.state:
                    say(f"Demo: its alerts are {said}")
                self.state = said
            self._ended.wait(RETRY_S)

    def _make(self) -> None:
        channels = self._all("channels")
        mail = channels.get(MAIL) or self._create(
            "channels", {"name": MAIL, "kind": "email", "config": {"to": ["oncall@example.com"]}}
        )
        hook = self._hook(channels.get(HOOK))
        if RULE not in self._all("rules"):
            self._create(
                "rules",
                {
                    "name": RULE,
                    "kind": "opened",
                    "params": {},
                    "matchers": ['environment="prod"'],
                    "severity": "critical",
                    "channels": [mail["id"], hook["id"]],
                },
            )

    def _hook(self, known: Named | None) -> Named:
        config = {"url": self._hook_url}
        wanted: Named = {"name": HOOK, "kind": "webhook", "config": config}
        if known is None:
            made = self._create("channels", wanted)
            self._keep(made["secret"])
            return made
        if known.get("config", {}).get("url") != self._hook_url:  # another port than last time
            self._call("PUT", f"channels/{known['id']}", {**known, **wanted})
        if self.secret() is None:
            # A secret is told once; it was lost with the file, so there has to be another.
            self._keep(self._call("POST", f"channels/{known['id']}/rotate_secret", {})["secret"])
        return known

    def _keep(self, secret: str) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        with os.fdopen(os.open(self._secret_file, flags, 0o600), "w") as file:
            file.write(secret)

    def _all(self, kind: str) -> dict[str, Named]:
        found = self._call("GET", f"{kind}?limit=1000")["items"]
        return {each["name"]: each for each in found}

    def _create(self, kind: str, value: Named) -> Named:
        made: Named = self._call("POST", kind, value)
        return made

    def _call(self, method: str, path: str, value: Any = None) -> Any:
        return send_json(method, f"{self._api}/{path}", value, headers=self._headers)


def _detail(error: urllib.error.HTTPError) -> str:
    """A problem's own words; a page that is none is left out."""
    try:
        problem = json.loads(error.read())
        return f"{problem.get('detail', '')} {problem.get('errors', '')}".strip()
    except (ValueError, AttributeError):
        return "no problem was named"


def _why(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code} from {error.url}: {_detail(error)}"
    return f"{type(error).__name__} {error}"
