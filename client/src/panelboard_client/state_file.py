"""What the panel wants, on disk, so that it stands after a restart with the panel away.

    {"version": 1, "service": …, "environment": …, "saved_at": EPOCH,
     "breakers": {NAME: {"revision": 12, "mode": "forced_open", "reason": …, "ends_at": EPOCH or null}}}

Overrides alone: a command lives 60 s. A file that is damaged, of another service or version, too
old, or writable by others is passed over with one log line: a breaker left to its library is the
smaller harm. Times are the wall clock's, which may have been set meanwhile: of an override is left
what the clock says, and never more than was left when it was saved.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import stat
import tempfile
from typing import Any, Dict, List, Optional

from panelboard_client.desired import Standing
from panelboard_client.identity import Identity
from panelboard_client.wire import MAX_NAME, MODES, Order

log = logging.getLogger("panelboard_client")

VERSION = 1
MAX_BYTES = 1 << 20
MAX_AGE_S = 24 * 3600.0
"""An override without an end is believed this long: whoever set it has had a day to release it."""
FRESH_S = 3600.0
"""A file that still holds is written anew this often, so that its age tells of the panel's silence."""


class StateFile:
    def __init__(self, path: str, identity: Identity) -> None:
        self._path = path
        self._of = {"service": identity.service, "environment": identity.environment}
        self._saved: Optional[Dict[str, Any]] = None
        self._saved_at = 0.0

    def load(self, now: float) -> List[Order]:
        """What stood when it was saved and still does; `now` is the epoch's seconds."""
        try:
            saved = _read(self._path)
            if saved.get("version") != VERSION or any(saved[k] != self._of[k] for k in self._of):
                raise ValueError("of another version or service")
            at = float(saved["saved_at"])
            if not at - MAX_AGE_S < now < at + MAX_AGE_S:
                raise ValueError("more than a day old")
            orders = [_order(name, each, at, now) for name, each in saved["breakers"].items()]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            log.warning("Panelboard: %s is not used: %s", self._path, error)
            return []
        return [order for order in orders if order.expires_in is None or order.expires_in > 0]

    def save(self, standings: Dict[str, Standing], now: float, monotonic: float) -> None:
        """Writes what stands, if that is news. Raises OSError."""
        offset = now - monotonic
        breakers = {
            name: {
                "revision": standing.revision,
                "mode": standing.mode,
                "reason": standing.reason,
                "ends_at": None if standing.until is None else round(standing.until + offset, 1),
            }
            for name, standing in standings.items()
            if standing.mode is not None and standing.revision is not None
        }
        if self._is_saved(breakers) and now - self._saved_at < FRESH_S:
            return
        whole = {"version": VERSION, **self._of, "saved_at": now, "breakers": breakers}
        _write(self._path, json.dumps(whole))
        self._saved, self._saved_at = breakers, now

    def _is_saved(self, breakers: Dict[str, Any]) -> bool:
        """Whether it says the same, but for clocks that drift apart a little."""
        saved = self._saved
        if saved is None or saved.keys() != breakers.keys():
            return False
        return all(
            {**each, "ends_at": None} == {**saved[name], "ends_at": None}
            and abs((each["ends_at"] or 0.0) - (saved[name]["ends_at"] or 0.0)) < 2
            for name, each in breakers.items()
        )


def _read(path: str) -> Dict[str, Any]:
    # No symlink and no device: whoever may put one there could steer the service.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    with os.fdopen(os.open(path, flags), "rb") as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise ValueError("no regular file")
        if hasattr(os, "geteuid") and about.st_uid not in (0, os.geteuid()):
            raise ValueError("it belongs to another user")
        if os.name == "posix" and about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise ValueError("others may write it")
        if about.st_size > MAX_BYTES:
            raise ValueError("too big")
        saved: Dict[str, Any] = json.loads(file.read(MAX_BYTES))
        return saved


def _order(name: str, saved: Dict[str, Any], at: float, now: float) -> Order:
    revision, mode, ends_at = saved["revision"], saved["mode"], saved["ends_at"]
    if not 1 <= len(name) <= MAX_NAME or mode not in MODES or not isinstance(revision, int):
        raise ValueError(f"it says what cannot be of {name!r}")
    left = None if ends_at is None else min(float(ends_at) - now, float(ends_at) - at)
    return Order(name, revision, mode, str(saved["reason"]), left)


def _write(path: str, text: str) -> None:
    """All or nothing, whenever the process or the machine ends; readable by this user alone."""
    folder = os.path.dirname(os.path.abspath(path))
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=os.path.basename(path) + ".")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:  # made with 0600
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
