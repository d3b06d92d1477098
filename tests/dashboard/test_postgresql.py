"""Django's connections to PostgreSQL: they give up on a server that answers nobody, and say what is in doubt."""

from __future__ import annotations

import gc
import socket
from collections.abc import Callable, Iterator

import psycopg
import pytest
from django.db import OperationalError, connection, transaction

from breakers.models import Environment
from dashboard.postgresql import base
from dashboard.postgresql.base import CommitInDoubt, Connection

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
