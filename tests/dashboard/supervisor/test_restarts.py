"""Whatever part is killed comes back by itself, and the pages and probes tell the truth meanwhile."""

from __future__ import annotations

import os
import signal

import httpx2
import pytest

from dashboard.supervisor.keeper import delay_before
from tests.support.eventually import eventually
from tests.support.stack import Stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> object:
    from tests.support.stack import start_ready

    running = start_ready(tmp_path_factory.mktemp("restarts") / "data")
    yield running
    running.stop()


@pytest.mark.xdist_group("restarts")
class TestRestarts:
    @pytest.mark.parametrize("part", ["web", "worker", "beat", "redis", "postgres"])
    def test_a_killed_part_is_started_again(self, stack: Stack, part: str) -> None:
        killed = stack.kill(part)

        assert eventually(lambda: stack.restarted(part, killed), within=30)
        assert f"{part:<8} | ended (killed by SIGKILL)" in stack.output

    @pytest.mark.parametrize(
        ("part", "named"), [("redis", "redis"), ("postgres", "postgresql"), ("worker", "worker")]
    )
    def test_a_part_that_hangs_is_named_as_missing(
        self, stack: Stack, part: str, named: str
    ) -> None:
        assert eventually(stack.is_ready, within=30)
        pid = stack.pid(part)
        os.kill(pid, signal.SIGSTOP)
        try:
            status, body = eventually(
                lambda: answer if (answer := stack.readiness())[0] == 503 else None, within=30
            )
            assert status == 503
            assert named in body["missing"]
            assert named in body["detail"]
            assert httpx2.get(f"{stack.url}/healthz", timeout=30).status_code == 200
        finally:
            os.kill(pid, signal.SIGCONT)
        assert eventually(stack.is_ready, within=30)


def test_the_delay_before_a_restart_grows_is_bounded_and_spread() -> None:
    assert delay_before(1, 1.0) < 0.5
    assert delay_before(3, 1.0) > delay_before(2, 1.0) > delay_before(1, 1.0)
    assert delay_before(1_000, 1.0) <= 8
    assert delay_before(5, 0.0) < delay_before(5, 1.0)
