"""What the environment of each of our processes holds."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from dashboard.supervisor.folder import write_private

_SECRETS = frozenset(
    {
        "DATABASE_URL",
        "DATABASE_OWNER_URL",
        "REDIS_URL",
        "SECRET_KEY",
        "EMAIL_URL",
        "PANELBOARD_ADMIN_PASSWORD",
        "PANELBOARD_BOOTSTRAP_KEY",
        "PANELBOARD_ENCRYPTION_KEYS",
    }
)


def of_the_program(
    *, database_url: str, redis_url: str, data_dir: Path, public_url: str
) -> dict[str, str]:
    """That of web, worker and beat: this process's, and what `up` knows better. Nobody but who migrates is
    told how to connect as the tables' owner."""
    env = {name: value for name, value in os.environ.items() if name != "DATABASE_OWNER_URL"}
    env.setdefault("PANELBOARD_LOG_FORMAT", "text")
    return env | {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "PANELBOARD_DATA_DIR": str(data_dir),
        "PUBLIC_URL": public_url,
        "PYTHONUNBUFFERED": "1",
    }


def with_the_demo(*, key: str, allowed: str) -> dict[str, str]:
    """What the program has besides while the demo runs: the demo's receiver of webhooks is on this machine."""
    return {
        "PANELBOARD_WEBHOOK_ALLOW": ",".join(filter(None, [allowed, "127.0.0.1"])),
        "PANELBOARD_DEMO_KEY": key,
    }


def of_the_demo(*, url: str, public_url: str, key: str, data_dir: Path) -> dict[str, str]:
    """That of anybody's services: where the panel is and a key of their own, and none of its secrets."""
    env = {name: value for name, value in os.environ.items() if name not in _SECRETS}
    return env | {
        "PANELBOARD_DATA_DIR": str(data_dir),
        "PANELBOARD_URL": url,
        "PANELBOARD_API_KEY": key,
        "PUBLIC_URL": public_url,
        "PYTHONUNBUFFERED": "1",
    }


def demo_key(data_dir: Path) -> str:
    """The demo's key of this data directory, made on first need."""
    path = data_dir / "demo_key"
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        write_private(path, f"pb_{secrets.token_urlsafe(32)}")
        return path.read_text()
