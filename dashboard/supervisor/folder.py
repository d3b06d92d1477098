"""The data directory: whose it is, which version wrote it, and what is remembered between runs."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from pathlib import Path
from typing import Any

from dashboard.config import RUN_FILE
from dashboard.supervisor.process import UpError

LAYOUT = 1
"""Raised when an older program could no longer read what this one leaves."""


_RESTORE = "restore it from a backup, or set PANELBOARD_DATA_DIR to another directory."


class Folder:
    """A data directory that this process holds the lock of until it ends, however it ends."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: int | None = None

    def claim(self) -> None:
        """Takes the directory for this process. Raises `UpError` if another has it or a newer version wrote
        it, and then has changed nothing in it."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise UpError(
                f"The data directory {self.path} cannot be used: {error.strerror}."
            ) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise UpError(
                f"Panelboard is already running on the data directory {self.path}; "
                "stop it first, or set PANELBOARD_DATA_DIR to another."
            ) from None
        self._lock = lock
        self._check_layout()

    def _check_layout(self) -> None:
        path = self.path / "layout"
        try:
            found = int(path.read_text())
        except FileNotFoundError:
            path.write_text(f"{LAYOUT}\n")
            return
        except ValueError:
            raise UpError(f"{path} is damaged: it should hold the number {LAYOUT}.") from None
        if found > LAYOUT:
            raise UpError(
                f"The data directory {self.path} was written by a newer Panelboard (layout {found}, this one "
                f"knows {LAYOUT}): run that version, or set PANELBOARD_DATA_DIR to another."
            )

    def remembered(self, name: str, **fields: type) -> dict[str, Any]:
        """What was kept under this name, which has these fields; nothing: empty. Raises `UpError` where the
        file is damaged."""
        path = self.path / f"{name}.json"
        try:
            kept = json.loads(path.read_text())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError) as problem:
            raise UpError(f"{path} cannot be read ({type(problem).__name__}): {_RESTORE}") from None
        if not isinstance(kept, dict) or not all(
            isinstance(kept.get(field), kind) for field, kind in fields.items()
        ):
            raise UpError(f"{path} is damaged: {_RESTORE}")
        return kept

    def remember(self, name: str, content: dict[str, Any]) -> None:
        """Keeps it, whole or not at all, readable by the owner alone."""
        write_private(self.path / f"{name}.json", json.dumps(content, indent=1))

    def announce(self, content: dict[str, Any]) -> None:
        """Tells every other command where the running system is."""
        write_private(self.path / RUN_FILE, json.dumps(content, indent=1))

    def unannounce(self) -> None:
        (self.path / RUN_FILE).unlink(missing_ok=True)


def write_private(path: Path, text: str) -> None:
    """Replaces the file at once; mode 0600 from its first byte on."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(text)
    draft.replace(path)
