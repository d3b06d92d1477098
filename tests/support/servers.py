"""Real servers for the tests: one PostgreSQL for the whole run, one Valkey and one database for each worker.

The first process of a run starts PostgreSQL and names it in the environment, which the workers of
pytest-xdist inherit. Every server dies with the process that started it, however that process ends.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psycopg
from psycopg import sql

from dashboard.supervisor.folder import Folder
from dashboard.supervisor.postgres import (
    OWNER_ROLE,
    PROGRAM_ROLE,
    Cluster,
    open_cluster,
    prepare_roles,
)
from dashboard.supervisor.process import Launch, spawn_options
from dashboard.supervisor.redis import Store, open_store

ROOT = Path(__file__).resolve().parent.parent.parent
TEMPLATE = "panelboard_template"
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "main")
DATABASE = f"panelboard_{WORKER}"

# Nothing here outlives the run, so nothing waits for a disk.
_FAST = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "400",
    "shared_buffers": "256MB",
    "autovacuum": "off",
    "max_wal_size": "4GB",
}
# What a developer's shell may hold and the tests must not inherit.
_OURS = (
    "DATABASE_URL",
    "DATABASE_OWNER_URL",
    "REDIS_URL",
    "SECRET_KEY",
    "ALLOWED_HOSTS",
    "PUBLIC_URL",
    "EMAIL_URL",
)


def serve() -> None:
    """Starts what is missing and names everything in the environment; once per process."""
    if os.environ.get("PANELBOARD_TEST_PID") == str(os.getpid()):
        return
    for name in list(os.environ):
        if name in _OURS or (
            name.startswith("PANELBOARD_") and not name.startswith("PANELBOARD_TEST_")
        ):
            del os.environ[name]
    if "PANELBOARD_TEST_SUPERUSER_URL" not in os.environ:
        cluster = _start_postgres()
        os.environ["PANELBOARD_TEST_SUPERUSER_URL"] = cluster.superuser_url
        os.environ["PANELBOARD_TEST_OWNER_URL"] = cluster.owner_url
        os.environ["PANELBOARD_TEST_PROGRAM_URL"] = cluster.program_url
    store = _start_redis()
    data_dir = _temporary("data")
    os.environ.update(
        PANELBOARD_TEST_PID=str(os.getpid()),
        DATABASE_URL=on_database(os.environ["PANELBOARD_TEST_PROGRAM_URL"], DATABASE),
        DATABASE_OWNER_URL=on_database(os.environ["PANELBOARD_TEST_OWNER_URL"], DATABASE),
        REDIS_URL=store.url,
        SECRET_KEY="a secret that only tests know, of the length that Django wants",
        PANELBOARD_DATA_DIR=str(data_dir),
        PANELBOARD_WEBHOOK_ALLOW="127.0.0.1",
        ALLOWED_HOSTS="127.0.0.1,localhost,testserver",
        PUBLIC_URL="http://testserver",
    )


def outside_environment() -> dict[str, str]:
    """The environment as it was before `serve`: for starting the real program beside the tests."""
    return {
        name: value
        for name, value in os.environ.items()
        if name not in _OURS
        and not name.startswith(("PANELBOARD_", "PYTEST_"))
        and name != "DJANGO_SETTINGS_MODULE"
    }


def superuser_url(database: str = DATABASE) -> str:
    return on_database(os.environ["PANELBOARD_TEST_SUPERUSER_URL"], database)


def on_database(url: str, database: str) -> str:
    return url.rpartition("/")[0] + "/" + database


def create_database() -> None:
    """This worker's own, copied from a template that the first one to ask migrates."""
    with psycopg.connect(superuser_url("postgres"), autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(7)")
        names = {row[0] for row in connection.execute("SELECT datname FROM pg_database")}
        if TEMPLATE not in names:
            _migrate_template(connection)
        _execute(connection, "DROP DATABASE IF EXISTS {} WITH (FORCE)", DATABASE)
        _execute(
            connection, "CREATE DATABASE {} OWNER {} TEMPLATE {}", DATABASE, OWNER_ROLE, TEMPLATE
        )


def _migrate_template(connection: psycopg.Connection) -> None:
    draft = f"{TEMPLATE}_draft"
    _execute(connection, "DROP DATABASE IF EXISTS {} WITH (FORCE)", draft)
    _execute(connection, "CREATE DATABASE {} OWNER {}", draft, OWNER_ROLE)
    owner_url = on_database(os.environ["PANELBOARD_TEST_OWNER_URL"], draft)
    migrated = subprocess.run(
        [sys.executable, "-c", _MIGRATE],
        cwd=ROOT,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "dashboard.settings",
            "DATABASE_URL": owner_url,
            "PANELBOARD_TEST_PROGRAM_ROLE": PROGRAM_ROLE,
        },
        capture_output=True,
        text=True,
    )
    if migrated.returncode != 0:
        raise RuntimeError(
            f"The test database could not be migrated:\n{migrated.stdout}{migrated.stderr}"
        )
    _execute(connection, "ALTER DATABASE {} RENAME TO {}", draft, TEMPLATE)


_MIGRATE = """
import os, django
from django.core.management import call_command
django.setup()
call_command("migrate", verbosity=0)
from breakers.grants import grant_program_role
grant_program_role(os.environ["PANELBOARD_TEST_PROGRAM_ROLE"])
"""


def _execute(connection: psycopg.Connection, statement: str, *names: str) -> None:
    connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


class Contents:
    """What a migrated database holds before any test, to be put back after one that committed.

    By one connection for all tests: it knows the tables already, which takes a new one 30 ms of 35.
    """

    def __init__(self) -> None:
        self._connection = self._connected()
        with self._connection.transaction():
            self._tables = [
                row[0]
                for row in self._connection.execute(
                    "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
                    "WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition "
                    "AND c.relname <> 'django_migrations' ORDER BY 1"
                )
            ]
            self._rows = {
                table: b"".join(bytes(part) for part in copy)
                for table in self._tables
                for copy in [_copied(self._connection, table)]
            }

    def restore(self) -> None:
        try:
            self._put_back()
        except psycopg.OperationalError:
            if not self._connection.closed:
                raise
            # The test has ended every connection to the database.
            self._connection = self._connected()
            self._put_back()

    def close(self) -> None:
        self._connection.close()

    @staticmethod
    def _connected() -> psycopg.Connection:
        """As a superuser without triggers: the audit log lets nobody else delete from it."""
        connection = psycopg.connect(superuser_url(), autocommit=True)
        connection.execute("SET session_replication_role = replica")
        connection.execute("SET lock_timeout = '10s'")
        return connection

    def _put_back(self) -> None:
        with self._connection.transaction():
            self._connection.execute("; ".join(f"DELETE FROM {table}" for table in self._tables))  # type: ignore[call-overload]
            for table, rows in self._rows.items():
                if rows:
                    with self._connection.cursor().copy(f"COPY {table} FROM STDIN") as copy:  # type: ignore[call-overload]
                        copy.write(rows)


def _copied(connection: psycopg.Connection, table: str) -> list[bytes]:
    with connection.cursor().copy(f"COPY (SELECT * FROM {table}) TO STDOUT") as copy:  # type: ignore[call-overload]
        return [bytes(part) for part in copy]


def _start_postgres() -> Cluster:
    cluster = open_cluster(_folder("postgres"), settings=_FAST)
    _start(cluster.launch(), stop=signal.SIGQUIT)
    _until(cluster.answers, "PostgreSQL")
    prepare_roles(cluster)
    return cluster


def _start_redis() -> Store:
    store = open_store(_folder("redis"), durable=False)
    _start(store.launch(), stop=signal.SIGTERM)
    _until(store.answers, "Redis")
    return store


def _start(launch: Launch, *, stop: signal.Signals) -> None:
    process = subprocess.Popen(
        launch.command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **spawn_options(launch),
    )
    me = os.getpid()

    def end() -> None:
        if os.getpid() != me:  # a fork of the tests owns no server
            return
        process.send_signal(stop)
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)

    atexit.register(end)


def _until(answers: object, name: str) -> None:
    assert callable(answers)
    deadline = time.monotonic() + 60
    while not answers():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{name} for the tests did not start")
        time.sleep(0.02)


def _folder(name: str) -> Folder:
    folder = Folder(_temporary(name))
    folder.claim()
    return folder


def _temporary(name: str) -> Path:
    path = Path(tempfile.mkdtemp(prefix=f"panelboard-test-{name}-"))
    me = os.getpid()
    # Registered before the server's end, so it runs after it.
    atexit.register(lambda: os.getpid() == me and shutil.rmtree(path, ignore_errors=True))
    return path
