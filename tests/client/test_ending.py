"""How a process goes: with a goodbye where it can, and of what it would have died of."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable

import pytest
from panelboard_client import Panel, ending

from tests.client.panel_server import PanelServer


def started(program: str, server: PanelServer, **env: str) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "PANELBOARD_URL": server.url,
        "PANELBOARD_API_KEY": "k",
        "PANELBOARD_SERVICE": "orders",
        **env,
    }
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )


WAITING = """
    import signal, sys, panelboard_client, pybreaker
    {before}
    panel = panelboard_client.connect({settings})
    {after}
    panel.watch(pybreaker.CircuitBreaker(), name="catalog").open()
    assert panel.flush(30)
    print("ready", flush=True)
    while True:
        signal.pause()
"""


def ends(server: PanelServer, *, before: str = "", settings: str = "", after: str = "") -> int:
    """Runs it until the panel knows it, sends SIGTERM, and answers how it ended."""
    program = WAITING.format(before=before, settings=settings, after=after)
    with started(program, server) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            process.terminate()
            return process.wait(30)
        finally:
            process.kill()


def said_goodbye(server: PanelServer) -> bool:
    server.wait_for(lambda: all(session.ended for session in server.sessions))
    return bool(server.sessions[0].of_type("goodbye"))


def test_sigterm_that_nobody_handles_says_goodbye_and_is_died_of(server: PanelServer) -> None:
    assert ends(server) == -signal.SIGTERM
    assert said_goodbye(server)


def test_a_handler_of_the_services_own_is_left_alone(server: PanelServer) -> None:
    own = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))"

    assert ends(server, before=own) == 3
    assert said_goodbye(server)  # for sys.exit is an orderly end


def test_a_handler_that_comes_later_takes_its_place(server: PanelServer) -> None:
    assert ends(server, after="signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))") == 3
    assert said_goodbye(server)


def test_sigterm_that_is_ignored_stays_so(server: PanelServer) -> None:
    program = """
        import signal, sys, panelboard_client
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        panelboard_client.connect()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    """
    with started(program, server) as process:
        assert process.wait(30) == 0


def test_it_can_be_turned_off(server: PanelServer) -> None:
    assert ends(server, settings="goodbye_on_sigterm=False") == -signal.SIGTERM
    assert not said_goodbye(server)


def test_sigterm_with_the_panel_away_is_died_of_at_once(server: PanelServer) -> None:
    server.stop()
    program = """
        import os, signal, panelboard_client
        panelboard_client.connect()
        print("ready", flush=True)
        signal.pause()
    """
    with started(program, server) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        assert process.wait(30) == -signal.SIGTERM


def test_another_thread_sets_no_handler(make_panel: Callable[..., Panel]) -> None:
    found: list[bool] = []
    thread = threading.Thread(target=lambda: found.append(ending.mind_sigterm()))
    thread.start()
    thread.join(10)

    assert found == [False]


def test_the_last_panel_that_is_closed_puts_the_default_back(
    make_panel: Callable[..., Panel],
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        first, second = make_panel(), make_panel()
        assert signal.getsignal(signal.SIGTERM) is ending._on_sigterm

        first.close()
        assert signal.getsignal(signal.SIGTERM) is ending._on_sigterm
        second.close()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_that_is_terminated_says_its_own_goodbye(server: PanelServer) -> None:
    program = """
        import os, signal, panelboard_client, pybreaker
        panel = panelboard_client.connect()
        breaker = panel.watch(pybreaker.CircuitBreaker(), name="catalog")
        child = os.fork()
        if child == 0:
            breaker.open()
            assert panel.flush(30)
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()
        assert os.waitpid(child, 0)[1] == signal.SIGTERM
    """
    with started(program, server) as process:
        assert process.wait(60) == 0

    server.wait_for(lambda: len(server.sessions) == 2 and all(s.ended for s in server.sessions))
    assert all(session.of_type("goodbye") for session in server.sessions)
