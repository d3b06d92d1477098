"""Django's connections to PostgreSQL: they give up on a server that answers nobody, and say what is in doubt."""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection, transaction

from breakers.models import Environment
from dashboard.postgresql import base
from dashboard.postgresql.base import CommitInDoubt, Connection, NoAnswer
from dashboard.supervisor.folder import Folder
from dashboard.supervisor.postgres import open_cluster
from dashboard.supervisor.process import spawn_options
from tests.support.eventually import eventually

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(base, "ASKED_AFTER_S", 0.2)
    monkeypatch.setattr(Connection, "gives_up", True)
    yield
    connection.close()


def end_of_the_connection(superuser_url: str) -> None:
    with psycopg.connect(superuser_url) as other:
        other.execute("SELECT pg_terminate_backend(%s)", [connection.connection.info.backend_pid])


def test_a_slow_statement_is_waited_for() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(1), 7")
        assert cursor.fetchone()[1] == 7


def test_a_server_that_answers_nobody_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Connection, "_still_answers", lambda self: False)

    with connection.cursor() as cursor, pytest.raises(OperationalError, match="answers nobody"):
        cursor.execute("SELECT pg_sleep(20)")

    assert connection.connection.closed


def test_what_runs_by_itself_gives_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Connection, "_still_answers", lambda self: False)
    monkeypatch.setattr(Connection, "gives_up", False)

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(1)")


def test_who_is_stopped_in_the_midst_of_a_transaction_lets_go(
    monkeypatch: pytest.MonkeyPatch, superuser_url: str
) -> None:
    monkeypatch.setattr(base, "IDLE_MAX_MS", 300)
    monkeypatch.setattr(Connection, "lets_go", True)
    connection.close()

    def hold_what_another_wants() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(1)")
        with psycopg.connect(superuser_url, options="-c lock_timeout=30000") as other:
            other.execute("SELECT pg_advisory_lock(1)")

    with pytest.raises(OperationalError):  # as of a connection that was lost
        make("held", hold_what_another_wants)
    assert not Environment.objects.filter(name="held").exists()


def make(name: str, then: Callable[[], None]) -> None:
    with transaction.atomic():
        Environment.objects.create(name=name)
        then()


def test_a_commit_that_is_cut_off_is_in_doubt(superuser_url: str) -> None:
    with pytest.raises(CommitInDoubt):
        make("lost", lambda: end_of_the_connection(superuser_url))

    # The next to come has another connection.
    make("kept", lambda: None)
    assert Environment.objects.filter(name__in=["kept", "lost"]).count() == 1


def test_what_is_cut_off_before_its_commit_is_not_in_doubt(superuser_url: str) -> None:
    def ends() -> None:
        end_of_the_connection(superuser_url)
        make("later", lambda: None)

    with pytest.raises(OperationalError) as lost:
        make("lost", ends)

    assert not isinstance(lost.value, CommitInDoubt)
    assert not Environment.objects.filter(name__in=["later", "lost"]).exists()


def test_a_commit_that_the_server_refuses_is_not_in_doubt() -> None:
    with pytest.raises(OperationalError, match="not today") as refused:
        commit("RAISE 'not today' USING ERRCODE = 'serialization_failure'")

    assert not isinstance(refused.value, CommitInDoubt)


def test_a_commit_that_hears_nothing_is_in_doubt_and_nobody_connects_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Connection, "_still_answers", lambda self: False)

    with pytest.raises(CommitInDoubt):
        commit("PERFORM pg_sleep(20)")

    assert connection.connection is None


def commit(does: str) -> None:
    """A transaction whose COMMIT does this."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "CREATE TEMPORARY TABLE late (id int) ON COMMIT DROP;"
            "CREATE FUNCTION pg_temp.act() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN {does}; RETURN NULL; END $$;"
            "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON late DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION pg_temp.act();"
            "INSERT INTO late VALUES (1)"
        )


def test_a_server_that_never_answers_is_left_with_no_socket() -> None:
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        gc.disable()
        try:
            with pytest.raises(psycopg.errors.ConnectionTimeout):
                Connection.connect(
                    host="127.0.0.1", port=frozen.getsockname()[1], connect_timeout=2
                )
            asked, _ = frozen.accept()
            asked.settimeout(10)
            while asked.recv(100):
                pass  # until the other side has closed it
        finally:
            gc.enable()


class OwnServer:
    """A PostgreSQL for one test, on a unix socket with a short queue."""

    def __init__(self, folder: Folder) -> None:
        settings = {"unix_socket_directories": ".", "max_connections": "8"}
        self._cluster = open_cluster(folder, settings=settings)
        launch = self._cluster.launch()
        self.process = subprocess.Popen(
            launch.command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **spawn_options(launch),
        )
        eventually(self._cluster.answers)

    @property
    def asked(self) -> dict[str, Any]:
        """How to connect to it."""
        return {
            "host": str(self._cluster.data),
            "port": self._cluster.port,
            "user": "postgres",
            "password": self._cluster.secrets.superuser,
            "dbname": "postgres",
        }

    def fill_queue(self, callers: ExitStack) -> None:
        """Of a server that is stopped: until the system lets nobody wait any more."""
        path = self._cluster.data / f".s.PGSQL.{self._cluster.port}"
        with contextlib.suppress(BlockingIOError):
            while True:
                caller = callers.enter_context(socket.socket(socket.AF_UNIX))
                caller.setblocking(False)
                caller.connect(os.fspath(path))

    def take_one_too_many(self, callers: ExitStack) -> None:
        """Connections; raises what the server says to the last."""
        while True:
            callers.enter_context(psycopg.connect(**self.asked))

    def end(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(20)


@pytest.fixture
def own_server() -> Iterator[OwnServer]:
    # The system takes no long path for a socket.
    path = Path(tempfile.mkdtemp(prefix="pb-", dir="/tmp"))
    folder = Folder(path)
    folder.claim()
    server = OwnServer(folder)
    yield server
    server.end()
    shutil.rmtree(path)


def test_a_stopped_server_is_given_up_although_its_sockets_queue_is_full(
    own_server: OwnServer,
) -> None:
    """The system then refuses a caller at once, as a server that is there refuses one too many."""
    asked = Connection.connect(**own_server.asked, autocommit=True)
    os.kill(own_server.process.pid, signal.SIGSTOP)
    with ExitStack() as callers:
        own_server.fill_queue(callers)
        with pytest.raises(psycopg.OperationalError, match="temporarily unavailable"):
            psycopg.connect(**own_server.asked)

        with pytest.raises(NoAnswer):
            asked.execute("SELECT pg_sleep(10)")

    assert asked.closed


def test_a_server_that_refuses_one_more_is_there(own_server: OwnServer) -> None:
    asked = Connection.connect(**own_server.asked, autocommit=True)
    with ExitStack() as callers:
        with pytest.raises(psycopg.OperationalError, match="too many clients"):
            own_server.take_one_too_many(callers)

        assert asked.execute("SELECT pg_sleep(1), 7").fetchone() == ("", 7)
