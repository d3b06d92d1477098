"""How a child is started: where, as whom, and that it ends when its parent does."""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

_PR_SET_PDEATHSIG = 1
_LINUX = sys.platform == "linux"
# Loaded here and not in the child: between fork and exec nothing may take a lock.
_prctl = ctypes.CDLL(None, use_errno=True).prctl if _LINUX else None


class UpError(Exception):
    """Why `up` cannot go on, as one line for the person at the terminal."""


@dataclass(frozen=True)
class Account:
    """A user of this machine."""

    uid: int
    gid: int
    name: str


@dataclass(frozen=True)
class Launch:
    """One process to start."""

    command: tuple[str, ...]
    env: dict[str, str]
    cwd: Path | None = None
    account: Account | None = None
    """Whom to become; the folder `cwd` is entered before, so its parents may be closed to that account."""
    keep_fds: tuple[int, ...] = ()
    orphan_signal: signal.Signals = signal.SIGKILL
    """What the kernel sends when the parent dies without stopping it (Linux)."""


class SpawnOptions(TypedDict):
    """Keyword arguments that `subprocess.Popen` and asyncio's subprocesses share."""

    cwd: Path | None
    env: dict[str, str]
    pass_fds: tuple[int, ...]
    start_new_session: bool
    preexec_fn: Callable[[], None]
    user: int | None
    group: int | None
    extra_groups: list[int] | None


def spawn_options(launch: Launch) -> SpawnOptions:
    """What to call `Popen` with besides the command. The child leads a session of its own, so that
    Ctrl-C at the terminal reaches the parent alone, which then stops its children in order."""
    account = launch.account
    parent = os.getpid()
    orphan_signal = int(launch.orphan_signal)

    def die_with_parent() -> None:
        # Runs after the change of user, which would clear the setting.
        if _prctl is not None:
            _prctl(_PR_SET_PDEATHSIG, orphan_signal, 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)

    return {
        "cwd": launch.cwd,
        "env": launch.env,
        "pass_fds": launch.keep_fds,
        "start_new_session": True,
        "preexec_fn": die_with_parent,
        "user": account.uid if account else None,
        "group": account.gid if account else None,
        "extra_groups": [] if account else None,
    }


@dataclass(frozen=True)
class Base:
    """The environment that every child starts from."""

    path: str = field(default_factory=lambda: os.environ.get("PATH", os.defpath))

    def env(self, **more: str) -> dict[str, str]:
        """A small one in the C locale, for programs that are not ours."""
        return {"PATH": self.path, "LC_ALL": "C", "TZ": "UTC", **more}


def is_alive(pid: int) -> bool:
    """Whether a process has this id; one that has ended and was not waited for does not count."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return not _LINUX


def works_in(pid: int, folder: Path) -> bool:
    """Whether the living process `pid` has `folder` as its working directory, which tells a server of ours
    from a stranger that was given the same number. Without /proc: false."""
    try:
        return is_alive(pid) and Path(f"/proc/{pid}/cwd").samefile(folder)
    except OSError:
        return False


def unprivileged_account() -> Account:
    """The account for servers that refuse to run as root; it must be in the user database."""
    for name in ("postgres", "nobody", "daemon"):
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        if found.pw_uid != 0:
            return Account(found.pw_uid, found.pw_gid, name)
    raise UpError(
        "PostgreSQL does not run as root, and this machine has none of the users postgres, nobody and daemon: "
        "add one, or set DATABASE_URL."
    )
