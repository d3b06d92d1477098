"""The examples of docs/clients/frameworks.md, each in the server it is written for."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.client.panel_server import PanelServer, Session, desired, panel_server
from tests.support.servers import ROOT

PAGE = ROOT / "docs" / "clients" / "frameworks.md"
PATIENCE_S = 60.0
"""A whole framework is imported, by several processes."""

DJANGO = {
    "shop_django/__init__.py": "",
    "shop_django/settings.py": """
SECRET_KEY, ALLOWED_HOSTS, ROOT_URLCONF = "for tests alone", ["*"], "shop_django.urls"
""",
    "shop_django/urls.py": """
from django.urls import path
from shop_django.views import price
urlpatterns = [path("price/<sku>", price)]
""",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The examples as files, and for Django what every project has around them."""
    blocks = re.findall(r"^```python\n# (\S+\.py)\n(.*?)^```", PAGE.read_text(), re.S | re.M)
    assert len(blocks) == 8
    for name, text in [*DJANGO.items(), *blocks]:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path


@pytest.fixture
def panel() -> Iterator[PanelServer]:
    with panel_server() as server:
        yield server


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        found: int = probe.getsockname()[1]
        return found


@contextmanager
def serving(command: list[str], folder: Path, panel: PanelServer, **env: str) -> Iterator[None]:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(folder),
        "PANELBOARD_URL": panel.url,
        "PANELBOARD_API_KEY": "k",
        **env,
    }
    process = subprocess.Popen([sys.executable, "-m", *command], cwd=folder, env=environment)
    try:
        yield
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_S)
    finally:
        process.kill()
        process.wait()


def instances(panel: PanelServer, count: int) -> list[Session]:
    """As many live connections as there are processes that have the breaker."""

    def found() -> list[Session] | None:
        there = [
            session
            for session in list(panel.sessions)
            if session.of_type("hello") and session.hello["breakers"] and not session.ended
        ]
        return there if len(there) == count else None

    answer: list[Session] = panel.wait_for(found, f"{count} instances", within_s=PATIENCE_S)
    assert len({session.hello["instance"] for session in answer}) == count
    assert {session.hello["breakers"][0]["breaker"] for session in answer} == {"catalog"}
    return answer


def force(panel: PanelServer, sessions: list[Session], mode: str | None, revision: int) -> None:
    for session in sessions:
        session.send(**desired("catalog", revision, mode))
    for session in sessions:
        assert panel.applied(revision, session)["ok"] is True


def all_said_goodbye(panel: PanelServer, sessions: list[Session]) -> None:
    panel.wait_for(lambda: all(session.ended for session in sessions))
    assert all(session.of_type("goodbye") for session in sessions)


def get(port: int) -> tuple[int, dict[str, object]]:
    url = f"http://127.0.0.1:{port}/price/sku-1"
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


WEB: dict[str, Callable[[int], list[str]]] = {
    "fastapi": lambda port: ["uvicorn", "shop_fastapi:app", "--port", str(port), "--workers", "2"],
    "flask": lambda port: ["gunicorn", "-b", f"127.0.0.1:{port}", "-w", "2", "shop_flask:app"],
    "flask, preloaded": lambda port: [
        "gunicorn",
        "--preload",
        "-b",
        f"127.0.0.1:{port}",
        "-w",
        "2",
        "shop_flask:app",
    ],
    "flask, connected after the fork": lambda port: [
        "gunicorn",
        "-c",
        "gunicorn_preloaded.py",
        "-b",
        f"127.0.0.1:{port}",
        "-w",
        "2",
        "shop_preloaded:app",
    ],
    "django": lambda port: [
        "gunicorn",
        "-b",
        f"127.0.0.1:{port}",
        "-w",
        "2",
        "shop_django.wsgi:application",
    ],
}
MASTERS = {"flask, preloaded": 1}
"""The master has imported the application too."""


@pytest.mark.parametrize("name", WEB)
def test_a_web_service_obeys_in_each_worker_and_says_goodbye(
    name: str, folder: Path, panel: PanelServer, port: int
) -> None:
    settings = {"DJANGO_SETTINGS_MODULE": "shop_django.settings"}
    with serving(WEB[name](port), folder, panel, **settings):
        sessions = instances(panel, 2 + MASTERS.get(name, 0))
        panel.wait_for(lambda: _answers(port), "the service", within_s=PATIENCE_S)
        assert get(port) == (200, {"price": 42})

        force(panel, sessions, "forced_open", 1)
        assert [get(port)[0] for _ in range(6)] == [503] * 6

        force(panel, sessions, None, 2)
        assert [get(port)[0] for _ in range(6)] == [200] * 6
    all_said_goodbye(panel, sessions)


def test_a_celery_worker_obeys_in_each_process_and_says_goodbye(
    folder: Path, panel: PanelServer
) -> None:
    path = os.environ["REDIS_URL"].removeprefix("unix://")
    broker = f"redis+socket://{path}" if path.startswith("/") else os.environ["REDIS_URL"]
    queue = f"shop-{os.urandom(4).hex()}"
    command = ["celery", "-A", "shop_celery", "worker", "-c", "2", "-Q", queue, "-l", "warning"]
    ask = f"""
import shop_celery
asked = [shop_celery.price.apply_async(("sku-1",), queue={queue!r}) for _ in range(6)]
print([each.get({PATIENCE_S}) for each in asked])
"""

    def answers() -> str:
        done = subprocess.run(
            [sys.executable, "-c", ask],
            cwd=folder,
            env={"PATH": os.environ["PATH"], "BROKER_URL": broker},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S * 2,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    with serving(command, folder, panel, BROKER_URL=broker):
        sessions = instances(panel, 2)
        assert answers() == str([42] * 6)

        force(panel, sessions, "forced_open", 1)
        assert answers() == str([None] * 6)
    all_said_goodbye(panel, sessions)


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True
    except OSError:
        return False
