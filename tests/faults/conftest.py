"""One system of two web processes for all tests that break it; each leaves it ready."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import stack
from tests.support.eventually import eventually
from tests.support.stack import Stack


@pytest.fixture(scope="package")
def _broken_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    running = stack.start_ready(
        tmp_path_factory.mktemp("faults") / "data", "--port", "0", "--workers", "2"
    )
    yield running
    running.stop()


@pytest.fixture
def broken_stack(_broken_stack: Stack) -> Stack:
    """Use a service of your own in it."""
    eventually(_broken_stack.is_ready, within=30)
    return _broken_stack
