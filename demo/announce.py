"""How the running demo is found: `demo.json` in the panel's data directory."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

FILE = "demo.json"


def data_dir() -> Path:
    return Path(os.environ.get("PANELBOARD_DATA_DIR") or ".panelboard").resolve()


def say(line: str) -> None:
    """One write a line: threads and processes share the terminal."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def announce(value: dict[str, Any]) -> None:
    """Whole or not at all: whoever reads it meanwhile sees the old one or the new one."""
    path = data_dir() / FILE
    draft = path.with_suffix(f".{os.getpid()}.tmp")
    draft.write_text(json.dumps(value))
    draft.replace(path)


def withdraw() -> None:
    (data_dir() / FILE).unlink(missing_ok=True)


def announced() -> dict[str, Any] | None:
    """None where no demo has announced itself, or what it wrote is not readable."""
    try:
        found: dict[str, Any] = json.loads((data_dir() / FILE).read_text())
        return found
    except (OSError, ValueError):
        return None
