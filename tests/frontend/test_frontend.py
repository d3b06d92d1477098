"""The browser's part by itself: its own tests and its types."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FRONTEND = Path(__file__).parents[2] / "frontend"


def node(*arguments: str) -> subprocess.CompletedProcess[str]:
    found = shutil.which("node") or shutil.which("node", path=str(Path(sys.executable).parent))
    if found is None or not (FRONTEND / "node_modules").is_dir():
        pytest.skip("needs Node and `npm ci` in frontend/ (`make setup` does both)")
    return subprocess.run(
        [found, *arguments], cwd=FRONTEND, capture_output=True, text=True, timeout=300
    )


def test_the_browsers_own_tests_pass() -> None:
    run = node("test.mjs")

    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]


def test_the_types_hold() -> None:
    run = node("node_modules/typescript/bin/tsc", "--noEmit")

    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]


def test_the_lock_file_names_no_place_to_fetch_from() -> None:
    assert '"resolved"' not in (FRONTEND / "package-lock.json").read_text()
