"""Whatever part is killed comes back by itself, and the pages and probes tell the truth meanwhile."""

from __future__ import annotations

import io
import os
import secrets
import signal
import sys

import httpx2
import pytest
import redis
from django.conf import settings

from dashboard.signs import Signs
from dashboard.supervisor import keeper
from dashboard.supervisor.keeper import delay_before
from dashboard.supervisor.output import Output
from dashboard.supervisor.parts import Part, Program, gives_sign
from dashboard.supervisor.process import Launch
from tests.support.eventually import aeventually, eventually
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

    def test_without_a_beat_that_goes_on_it_is_ready_and_says_so(self, stack: Stack) -> None:
        assert eventually(lambda: stack.readiness() == (200, {"status": "ready"}), within=30)
        pid = stack.pid("beat")
        os.kill(pid, signal.SIGSTOP)
        try:
            without = {"status": "ready", "missing": ["beat"]}
            assert eventually(lambda: stack.readiness() == (200, without), within=30)
            metrics = httpx2.get(f"{stack.url}/metrics", timeout=30).text
            assert 'panelboard_part_up{part="beat"} 0.0' in metrics
        finally:
            os.kill(pid, signal.SIGCONT)
        assert eventually(lambda: stack.readiness() == (200, {"status": "ready"}), within=30)


async def test_a_part_that_lives_and_answers_no_more_is_started_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keeper, "_SILENT_LOOKS", 3)
    monkeypatch.setattr(keeper, "_LOOK_EACH_S", 0.02)
    answers: list[bool | None] = [True, None, False, True, False]
    asked: dict[int, int] = {}

    def answer(pid: int) -> bool | None:
        asked[pid] = asked.get(pid, 0) + 1
        return answers[min(asked[pid], len(answers)) - 1]

    launch = Launch(command=(sys.executable, "-c", "import signal; signal.pause()"), env={})
    part = Part("silent", lambda: launch, answer, goes_on_answering=True)
    said = io.StringIO()
    kept = keeper.Keeper(part, Output(said), on_change=lambda: None)
    kept.start()
    try:
        assert await aeventually(lambda: len(asked) > 1)
    finally:
        await kept.stop()

    first = next(iter(asked))
    assert (
        asked[first] == len(answers) + 2
    )  # not for a silence that ended, nor where nobody could tell
    assert "gave no sign of life" in said.getvalue()


def test_where_redis_takes_no_signs_nobody_is_silent() -> None:
    who = f"reader-{secrets.token_hex(4)}"
    only_reads = settings.REDIS_URL.replace("//", f"//{who}:x@", 1)

    def told(url: str) -> bool | None:
        return gives_sign(Program({}, 0, "", url), "beat", os.getpid())

    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.acl_setuser(
            who, enabled=True, passwords=["+x"], keys=["*"], commands=["+@all", "-@write"]
        )
        try:
            assert told(only_reads) is None
            assert told(settings.REDIS_URL) is False
            Signs("beat", settings.REDIS_URL).give()
            assert told(settings.REDIS_URL) is True
            assert told(only_reads) is None
        finally:
            client.acl_deluser(who)


def test_the_delay_before_a_restart_grows_is_bounded_and_spread() -> None:
    assert delay_before(1, 1.0) < 0.5
    assert delay_before(3, 1.0) > delay_before(2, 1.0) > delay_before(1, 1.0)
    assert delay_before(1_000, 1.0) <= 8
    assert delay_before(5, 0.0) < delay_before(5, 1.0)
