from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

from django.urls import clear_url_caches, get_resolver

from tests.support.web import serve


async def test_pages_and_api_are_loaded_before_the_first_call(transactional_db: None) -> None:
    clear_url_caches()

    async with serve():
        assert "url_patterns" in get_resolver().__dict__


async def test_a_server_that_manage_py_did_not_begin_looks_rarely_for_garbage_too(
    transactional_db: None,
) -> None:
    usual = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    try:
        async with serve():
            assert gc.get_threshold()[0] > 700
    finally:
        gc.set_threshold(*usual)


def test_a_command_without_a_panel_says_what_to_start(tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.endswith("_URL")}
    env = kept | {
        "PANELBOARD_DATA_DIR": str(tmp_path),
        "DJANGO_SETTINGS_MODULE": "dashboard.settings",
    }

    ended = subprocess.run(
        [sys.executable, "manage.py", "rebuild_state", "--check"],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert ended.returncode == 1
    assert ended.stderr == (
        f"No panel runs on {tmp_path}: start `manage.py up` first, or set DATABASE_URL.\n"
    )
