"""The hot and set-based statements, each under `-- name: …` with a line on its promise."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

_NAME = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)


@cache
def statements(file: str) -> dict[str, str]:
    """All statements of `file` (without `.sql`), by name."""
    parts = _NAME.split((Path(__file__).parent / f"{file}.sql").read_text())
    return {name: text.strip() for name, text in zip(parts[1::2], parts[2::2], strict=True)}
