"""Runs every test that this machine can run, or the one that is named.

.venv/bin/python scripts/test.py [path of a test] [options of pytest]
"""

from __future__ import annotations

import os
import subprocess
import sys

from setup import FRONTEND, ROOT, env_for, node_and_npm

WORKERS = max(2, min(4, os.cpu_count() or 2))
"""Each has servers and processes of its own beside it; more than this wait for each other."""


def main(arguments: list[str]) -> int:
    codes = []
    if not arguments:
        program, _ = node_and_npm()
        codes.append(
            subprocess.run([program, "test.mjs"], cwd=FRONTEND, env=env_for(program)).returncode
        )
    codes.append(
        subprocess.run(
            [sys.executable, "-m", "pytest", "-n", str(WORKERS), *arguments], cwd=ROOT
        ).returncode
    )
    return next((code for code in codes if code), 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
