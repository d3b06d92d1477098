"""Fixtures of every test. The servers are real; `tests.settings` starts them (see tests/support/servers.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from django.db import connections
from django.test import TransactionTestCase

from tests.support import servers


@pytest.fixture(scope="session")
def django_db_setup(django_db_blocker: pytest.Item) -> Iterator[None]:
    """This worker's database, reached as the program's own role, which owns nothing in it."""
    servers.create_database()
    contents = servers.Contents()
    patch = pytest.MonkeyPatch()
    # Django would empty the tables as the connected role; that role may not, and rows of migrations would go.
    patch.setattr(TransactionTestCase, "_fixture_teardown", lambda self: contents.restore())
    yield
    patch.undo()
    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        connections.close_all()


@pytest.fixture
def restore_contents(django_db_setup: None) -> Iterator[Callable[[], None]]:
    """For tests whose own processes write to this worker's database: puts the rows back afterwards."""
    contents = servers.Contents()
    yield contents.restore
    contents.restore()


@pytest.fixture(scope="session")
def superuser_url(django_db_setup: None) -> str:
    """For proving what even the owner of the tables cannot do."""
    return servers.superuser_url()
