"""Fixtures of every test. The servers are real; `tests.settings` starts them (see tests/support/servers.py)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from _pytest.nodeid import NodeId
from django.db import connections
from django.test import TransactionTestCase
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from tests.support import servers, stack
from tests.support.stack import Stack

# How busy the machine is decides nothing.
hypothesis_settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.load_profile("any machine")


@pytest.hookimpl(trylast=True)  # others add groups too, and order by the use of the database
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests that share the live system run in one worker, so that it is started once (`--dist=loadgroup`).

    Groups are given out first, and then whatever starts a system of its own: what is left for the end is short, so
    that no worker has long to do when the others are done.
    """
    items.sort(key=lambda item: "make_stack" not in getattr(item, "fixturenames", ()))
    for item in items:
        if "live_stack" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("live_stack"))
        group = item.get_closest_marker("xdist_group")
        if group and hasattr(config, "workerinput"):
            # pytest-xdist 3.8 marks the group in `_nodeid`, which pytest 9.2 no longer reads.
            item._id = NodeId.parse(f"{item.nodeid}@{group.args[0]}")  # type: ignore[attr-defined]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line on what this machine could not run, and why."""
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", ())
        if isinstance(report.longrepr, tuple)
    )
    left_out = "; ".join(f"{count} ({reason})" for reason, count in reasons.most_common())
    terminalreporter.write_line(f"Left out: {left_out or 'nothing'}.")


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
    contents.close()
    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        connections.close_all()


@pytest.fixture
def restore_contents(django_db_setup: None) -> Iterator[Callable[[], None]]:
    """For tests whose own processes write to this worker's database: puts the rows back afterwards."""
    with closing(servers.Contents()) as contents:
        yield contents.restore
        contents.restore()


@pytest.fixture(scope="session")
def superuser_url(django_db_setup: None) -> str:
    """For proving what even the owner of the tables cannot do."""
    return servers.superuser_url()


@pytest.fixture(scope="session")
def live_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The real system, shared: use names of your own in it, and do not break it (see `make_stack`)."""
    running = stack.start_ready(tmp_path_factory.mktemp("live") / "data")
    yield running
    running.stop()


@pytest.fixture
def make_stack(tmp_path: Path) -> Iterator[Callable[..., Stack]]:
    """Starts a real system for one test that breaks it; the arguments are those of `up`."""
    started: list[Stack] = []

    def make(
        *arguments: str, data_dir: Path | None = None, ready: bool = True, **environment: str
    ) -> Stack:
        begin = stack.start_ready if ready else stack.start
        made = begin(data_dir or tmp_path / "data", *arguments, **environment)
        started.append(made)
        return made

    yield make
    for made in reversed(started):
        made.stop()
