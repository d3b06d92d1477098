"""Who is told what: the demo's services are anybody's, and learn none of the panel's secrets."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from dashboard.supervisor import environment

SECRET = "known to few"


@pytest.fixture
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "DATABASE_URL",
        "DATABASE_OWNER_URL",
        "REDIS_URL",
        "SECRET_KEY",
        "EMAIL_URL",
        "PANELBOARD_ADMIN_PASSWORD",
        "PANELBOARD_BOOTSTRAP_KEY",
        "PANELBOARD_ENCRYPTION_KEYS",
    ):
        monkeypatch.setenv(name, SECRET)


@pytest.mark.usefixtures("_secrets")
def test_the_demo_learns_no_secret_of_the_panel(tmp_path: Path) -> None:
    env = environment.of_the_demo(
        url="http://127.0.0.1:1", public_url="https://panel", key="pb_demo", data_dir=tmp_path
    )

    assert SECRET not in env.values()
    assert env["PANELBOARD_API_KEY"] == "pb_demo"


@pytest.mark.usefixtures("_secrets")
def test_the_program_does_not_learn_how_to_be_the_owner(tmp_path: Path) -> None:
    env = environment.of_the_program(
        database_url="postgresql://program", redis_url="r", data_dir=tmp_path, public_url="u"
    )

    assert "DATABASE_OWNER_URL" not in env
    assert env["DATABASE_URL"] == "postgresql://program"
    assert env["PANELBOARD_ADMIN_PASSWORD"] == SECRET


def test_what_may_be_reached_is_added_to_and_not_replaced() -> None:
    assert environment.with_the_demo(key="k", allowed="10.0.0.0/8")["PANELBOARD_WEBHOOK_ALLOW"] == (
        "10.0.0.0/8,127.0.0.1"
    )
    assert environment.with_the_demo(key="k", allowed="")["PANELBOARD_WEBHOOK_ALLOW"] == "127.0.0.1"


def test_the_demos_key_is_kept_and_private(tmp_path: Path) -> None:
    key = environment.demo_key(tmp_path)

    assert len(key) > 24
    assert environment.demo_key(tmp_path) == key
    assert stat.S_IMODE((tmp_path / "demo_key").stat().st_mode) == 0o600
