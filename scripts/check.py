"""What pre-commit and CI check, all of it, whatever fails first.

.venv/bin/python scripts/check.py
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from setup import FRONTEND, ROOT, env_for, node_and_npm

BIN = Path(sys.executable).parent
CHECKS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("ruff", (str(BIN / "ruff"), "check", ".")),
    ("format", (str(BIN / "ruff"), "format", "--check", "-q", ".")),
    ("mypy", (str(BIN / "mypy"), "dashboard", "alerts", "breakers", "manage.py")),
    ("import-linter", (str(BIN / "lint-imports"),)),
    (
        "migrations",
        (sys.executable, "-W", "ignore", "manage.py", "makemigrations", "--check", "--dry-run"),
    ),
)


def main() -> int:
    # A key, so that no check makes a data directory.
    env = {**os.environ, "SECRET_KEY": "only for checks", "PANELBOARD_LOG_FORMAT": "text"}
    failed = [name for name, command in CHECKS if not passes(name, command, ROOT, env)]
    node, _ = node_and_npm()
    tsc = (str(node), str(FRONTEND / "node_modules" / "typescript" / "bin" / "tsc"), "--noEmit")
    if not passes("tsc", tsc, FRONTEND, env_for(node)):
        failed.append("tsc")
    print(f"Failed: {', '.join(failed)}." if failed else "All checks passed.")
    return 1 if failed else 0


def passes(name: str, command: tuple[str, ...], cwd: Path, env: dict[str, str]) -> bool:
    """Runs it; what it says is shown only if it fails."""
    done = subprocess.run(
        command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode != 0:
        print(f"--- {name}\n{done.stdout.rstrip()}", flush=True)
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
