"""The embedded PostgreSQL: its binaries, its cluster in the data directory, its roles.

Only the binaries of the wheel are used. As root the server runs as an unprivileged account, although the
data directory and everything above it may be closed to that account: the child enters the cluster's folder
before it changes its user, and calls that folder `/proc/self/cwd` (docs/decisions/0002).
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from dashboard.supervisor.binaries import reachable_binaries
from dashboard.supervisor.folder import Folder
from dashboard.supervisor.ports import loopback_port
from dashboard.supervisor.process import (
    Account,
    Base,
    Launch,
    UpError,
    is_alive,
    spawn_options,
    unprivileged_account,
    works_in,
)

MAJOR = 18
OWNER_ROLE = "panelboard_owner"
PROGRAM_ROLE = "panelboard"
DATABASE = "panelboard"
STOP_S = 60.0

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "",
    "log_checkpoints": "off",
    # Rows of other people's systems do not belong in a log.
    "log_min_error_statement": "panic",
    "log_min_messages": "error",
    "max_wal_size": "512MB",
    # Each call of the API and each page has one while it is answered, and there may be several web processes.
    "max_connections": "300",
    "jit": "off",
    # Three processes less than with io_method=worker; a panel reads from the cache.
    "io_method": "sync",
    "idle_in_transaction_session_timeout": "5min",
}


@dataclass(frozen=True)
class Secrets:
    """Passwords of the roles: random, so they need no stretching."""

    superuser: str
    owner: str
    program: str


@dataclass(frozen=True)
class Cluster:
    """One embedded PostgreSQL, running or not."""

    data: Path
    port: int
    secrets: Secrets
    account: Account | None
    binaries: Path
    settings: dict[str, str]

    def url(self, role: str, password: str, database: str = DATABASE) -> str:
        return f"postgresql://{role}:{password}@127.0.0.1:{self.port}/{database}"

    @property
    def superuser_url(self) -> str:
        return self.url("postgres", self.secrets.superuser, "postgres")

    @property
    def owner_url(self) -> str:
        return self.url(OWNER_ROLE, self.secrets.owner)

    @property
    def program_url(self) -> str:
        return self.url(PROGRAM_ROLE, self.secrets.program)

    def launch(self) -> Launch:
        """The server in the foreground; SIGINT is its fast and clean shutdown."""
        options = [
            argument
            for name, value in {**_SETTINGS, **self.settings, "port": str(self.port)}.items()
            for argument in ("-c", f"{name}={value}")
        ]
        return Launch(
            command=(str(self.binaries / "bin" / "postgres"), "-D", _called(self.data), *options),
            env=Base().env(),
            cwd=self.data,
            account=self.account,
            orphan_signal=signal.SIGINT,
        )

    def answers(self) -> bool:
        """Whether it takes connections; asked while it starts."""
        try:
            with psycopg.connect(self.superuser_url, connect_timeout=2) as connection:
                connection.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True


def open_cluster(folder: Folder, *, settings: dict[str, str] | None = None) -> Cluster:
    """The cluster of this data directory, made on first use. Stops a server that an earlier run left behind.

    Raises `UpError` if another major version wrote it; nothing is touched then.
    """
    data = folder.path / "postgresql"
    made = _major(data)
    if made is not None and made != MAJOR:
        raise UpError(_other_major(made, data))
    account = _account_for(data)
    binaries = reachable_binaries(account)
    kept = folder.remembered("postgresql", superuser=str, owner=str, program=str, port=int)
    if not kept:
        kept = {name: secrets.token_hex(24) for name in ("superuser", "owner", "program")}
        if made is not None:
            raise UpError(
                f"{data} is there but its passwords in {folder.path}/postgresql.json are not: "
                "restore that file, or set PANELBOARD_DATA_DIR to another directory."
            )
    if made is not None:
        stop_left_behind(data)
    kept["port"] = loopback_port(preferred=kept.get("port"))
    folder.remember("postgresql", kept)
    cluster = Cluster(
        data=data,
        port=kept["port"],
        secrets=Secrets(kept["superuser"], kept["owner"], kept["program"]),
        account=account,
        binaries=binaries,
        settings=settings or {},
    )
    if made is None:
        _make(cluster)
    return cluster


def prepare_roles(cluster: Cluster) -> None:
    """Makes the database and its two roles where they are missing: one owns and migrates, one works."""
    with psycopg.connect(cluster.superuser_url, autocommit=True, connect_timeout=5) as connection:
        # The passwords are 192 random bits: stretching them would only cost 4 ms a connection.
        connection.execute("SET scram_iterations = 16")
        for role, password in (
            (OWNER_ROLE, cluster.secrets.owner),
            (PROGRAM_ROLE, cluster.secrets.program),
        ):
            name = sql.Identifier(role)
            if not connection.execute(
                "SELECT 1 FROM pg_roles WHERE rolname = %s", [role]
            ).fetchone():
                connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(name))
                connection.execute(
                    sql.SQL("ALTER ROLE {} PASSWORD {}").format(name, sql.Literal(password))
                )
        if not connection.execute(
            "SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]
        ).fetchone():
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {}").format(
                    sql.Identifier(DATABASE), sql.Identifier(OWNER_ROLE)
                )
            )
        for statement in (
            "REVOKE ALL ON DATABASE {database} FROM PUBLIC",
            "GRANT CONNECT, TEMPORARY ON DATABASE {database} TO {program}",
            # What its statements fail with is the program's to say, and often no fault: a repeated event is found by it.
            "ALTER ROLE {program} SET log_min_messages = log",
        ):
            connection.execute(
                sql.SQL(statement).format(
                    database=sql.Identifier(DATABASE), program=sql.Identifier(PROGRAM_ROLE)
                )
            )


def stop_left_behind(data: Path) -> None:
    """Stops the server of this cluster that a killed program left, as cleanly as any other. The caller holds
    the data directory's lock, so nobody is using it on purpose."""
    pid = _postmaster(data)
    if pid is None:
        return
    for how, wait_s in ((signal.SIGINT, STOP_S), (signal.SIGQUIT, 10.0)):
        with suppress(ProcessLookupError):
            os.kill(pid, how)
        deadline = time.monotonic() + wait_s
        while time.monotonic() < deadline:
            if not is_alive(pid):
                return
            time.sleep(0.05)
    raise UpError(f"An earlier PostgreSQL (process {pid}) still holds {data} and does not stop.")


def _postmaster(data: Path) -> int | None:
    """The process that serves this cluster, whoever started it."""
    try:
        pid = int((data / "postmaster.pid").read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return None
    if works_in(pid, data):
        return pid
    if not Path("/proc").is_dir() and is_alive(pid):
        listed = subprocess.run(
            ["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True
        )
        return pid if str(data) in listed.stdout else None
    return None


def _major(data: Path) -> int | None:
    try:
        return int((data / "PG_VERSION").read_text())
    except FileNotFoundError:
        return None


def _other_major(made: int, data: Path) -> str:
    if made > MAJOR:
        return (
            f"The data in {data} was written by the newer PostgreSQL {made}; this Panelboard brings {MAJOR}. "
            "Run the newer Panelboard, or set DATABASE_URL."
        )
    return (
        f"The data in {data} was written by PostgreSQL {made}; this Panelboard brings {MAJOR}. Dump it with the "
        "older Panelboard (pg_dump), start this one on a fresh PANELBOARD_DATA_DIR, and restore the dump."
    )


def _called(data: Path) -> str:
    """What the server, which is started inside its folder, calls that folder: the kernel follows this name
    without asking for rights on the folders above."""
    return "/proc/self/cwd" if sys.platform == "linux" else str(data)


def _account_for(data: Path) -> Account | None:
    """None: as ourselves. An existing cluster keeps the account that owns it, which the server insists on."""
    me = os.geteuid()
    try:
        owner = data.stat()
    except FileNotFoundError:
        return unprivileged_account() if me == 0 else None
    if me == 0:
        return (
            Account(owner.st_uid, owner.st_gid, str(owner.st_uid))
            if owner.st_uid
            else unprivileged_account()
        )
    if owner.st_uid != me:
        raise UpError(
            f"{data} belongs to another user (id {owner.st_uid}): start Panelboard as that user, or set "
            "PANELBOARD_DATA_DIR to another directory."
        )
    return None


def _make(cluster: Cluster) -> None:
    """initdb into a draft that is renamed when whole: an interrupted first start leaves nothing half made."""
    draft = cluster.data.with_name(".postgresql.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    with tempfile.NamedTemporaryFile("w", prefix="panelboard-") as password:
        password.write(cluster.secrets.superuser + "\n")
        password.flush()
        if cluster.account is not None:
            os.chown(draft, cluster.account.uid, cluster.account.gid)
            os.fchown(password.fileno(), cluster.account.uid, cluster.account.gid)
        launch = Launch(
            command=(
                str(cluster.binaries / "bin" / "initdb"),
                *("-D", _called(draft), "-U", "postgres", "-E", "UTF8", "--locale=C"),
                *("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
                *("--auth=scram-sha-256", f"--pwfile={password.name}", "--no-instructions"),
                *(("--no-sync",) if cluster.settings.get("fsync") == "off" else ()),
            ),
            env=Base().env(),
            cwd=draft,
            account=cluster.account,
        )
        made = subprocess.run(
            launch.command, capture_output=True, text=True, **spawn_options(launch)
        )
    if made.returncode != 0:
        shutil.rmtree(draft, ignore_errors=True)
        reason = (made.stderr.strip() or made.stdout.strip()).splitlines()
        raise UpError(_initdb_failed(reason[-1] if reason else f"exit code {made.returncode}"))
    draft.rename(cluster.data)


def _initdb_failed(reason: str) -> str:
    if "could not look up effective user ID" in reason:
        return (
            f"PostgreSQL needs the current user (id {os.geteuid()}) to have a name: add it to /etc/passwd, or set "
            "DATABASE_URL."
        )
    return f"PostgreSQL's data directory could not be made: {reason}"
