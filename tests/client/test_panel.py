"""connect, watch, flush and close, as a service calls them."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable

import panelboard_client
import pybreaker
import pytest
from panelboard_client import Panel
from panelboard_client.panel import agent_url

from tests.client.panel_server import PanelServer, desired


def closed_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def trip(breaker: pybreaker.CircuitBreaker) -> None:
    def fail() -> None:
        raise OSError("down")

    for _ in range(breaker.fail_max):
        with pytest.raises((OSError, pybreaker.CircuitBreakerError)):
            breaker.call(fail)


def test_the_hello_says_who_and_what(server: PanelServer, make_panel: Callable[..., Panel]) -> None:
    panel = make_panel(environment="prod", instance="orders-1", labels={"zone": "a"})
    panel.watch(pybreaker.CircuitBreaker(fail_max=7), name="catalog", target="catalog")

    session = server.session_with("catalog")

    assert (session.path, session.authorization) == ("/agent/v1", "Bearer key")
    hello = session.hello
    assert {key: hello[key] for key in ("service", "environment", "instance", "protocol")} == {
        "service": "orders",
        "environment": "prod",
        "instance": "orders-1",
        "protocol": 1,
    }
    assert hello["labels"] == {"zone": "a"}
    (breaker,) = hello["breakers"]
    assert (breaker["breaker"], breaker["state"], breaker["target"]) == (
        "catalog",
        "closed",
        "catalog",
    )
    assert breaker["config"]["fail_max"] == 7


def test_a_new_breaker_is_told_in_a_whole_hello_on_the_same_socket(
    server: PanelServer, make_panel: Callable[..., Panel]
) -> None:
    panel = make_panel()
    panel.watch(pybreaker.CircuitBreaker(), name="catalog")
    session = server.session_with("catalog")
    panel.watch(pybreaker.CircuitBreaker(), name="users")

    assert server.session_with("users") is session
    assert [b["breaker"] for b in session.hello["breakers"]] == ["catalog", "users"]


def test_settings_come_from_the_environment(
    server: PanelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PANELBOARD_URL", server.url + "/")
    monkeypatch.setenv("PANELBOARD_API_KEY", " spaced\n")
    monkeypatch.setenv("PANELBOARD_SERVICE", "billing")
    monkeypatch.setenv("PANELBOARD_ENVIRONMENT", "test")
    monkeypatch.setenv("PANELBOARD_INSTANCE", "billing-7")

    with panelboard_client.connect():
        session = server.session()

    assert session.authorization == "Bearer spaced"
    hello = session.hello
    assert (hello["service"], hello["environment"], hello["instance"]) == (
        "billing",
        "test",
        "billing-7",
    )


def test_the_default_instance_is_host_pid_and_chance(make_panel: Callable[..., Panel]) -> None:
    first, second = make_panel(), make_panel()

    assert f"-{os.getpid()}-" in first.instance
    assert first.instance != second.instance


@pytest.mark.parametrize(
    ("given", "socket_url"),
    [
        ("http://host:8000", "ws://host:8000/agent/v1"),
        ("https://host", "wss://host/agent/v1"),
        ("https://host/panel/", "wss://host/panel/agent/v1"),
    ],
)
def test_the_socket_is_beside_the_pages(given: str, socket_url: str) -> None:
    assert agent_url(given) == socket_url


@pytest.mark.parametrize("url", ["host:8000", "ftp://host", "http://"])
def test_an_odd_url_is_refused_where_it_is_given(url: str) -> None:
    with pytest.raises(ValueError, match="PANELBOARD_URL must be"):
        panelboard_client.connect(url=url, api_key="k", service="orders")


def test_a_service_without_a_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PANELBOARD_SERVICE", raising=False)
    with pytest.raises(ValueError, match="PANELBOARD_SERVICE"):
        panelboard_client.connect(url="http://host", api_key="k")


def test_without_a_url_the_panel_is_off_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("PANELBOARD_URL", raising=False)
    before = threading.active_count()

    with panelboard_client.connect(api_key="k", service="orders") as panel:
        breaker = panel.watch(pybreaker.CircuitBreaker(), name="catalog")
        assert breaker.call(lambda: 1) == 1
        assert threading.active_count() == before

    assert [record.getMessage() for record in caplog.records] == [
        "Panelboard: off, for there is no URL"
    ]


def test_watch_names_what_it_supports_when_handed_something_else(
    make_panel: Callable[..., Panel],
) -> None:
    with pytest.raises(TypeError, match=r"watches breakers of aiobreaker, .*, pybreaker only"):
        make_panel().watch(object(), name="catalog")


def test_a_breaker_needs_a_name_of_its_own(make_panel: Callable[..., Panel]) -> None:
    panel = make_panel()
    breaker = panel.watch(pybreaker.CircuitBreaker(), name="catalog")

    assert panel.watch(breaker, name="catalog") is breaker
    with pytest.raises(ValueError, match="another breaker is watched as 'catalog'"):
        panel.watch(pybreaker.CircuitBreaker(), name="catalog")
    with pytest.raises(ValueError, match="no name"):
        panel.watch(pybreaker.CircuitBreaker())
    with pytest.raises(ValueError, match="printable"):
        panel.watch(pybreaker.CircuitBreaker(), name="a\0b")


def test_the_thousand_and_first_breaker_works_on_unwatched(
    make_panel: Callable[..., Panel], caplog: pytest.LogCaptureFixture
) -> None:
    panel = make_panel()
    for number in range(1000):
        panel.watch(pybreaker.CircuitBreaker(), name=f"b{number}")

    last = panel.watch(pybreaker.CircuitBreaker(), name="one too many")

    assert last.call(lambda: 1) == 1
    assert "one too many is not watched" in caplog.text


def test_an_order_that_came_before_the_breaker_was_watched_is_obeyed_then(
    server: PanelServer, make_panel: Callable[..., Panel]
) -> None:
    server.desired = [desired("catalog", 3, "forced_open")]
    panel = make_panel()
    server.session()
    server.desired = []

    breaker = panel.watch(pybreaker.CircuitBreaker(), name="catalog")

    assert server.applied(3)["state"] == "forced_open"
    with pytest.raises(pybreaker.CircuitBreakerError):
        breaker.call(lambda: 1)


def test_flush_waits_for_the_ack(server: PanelServer, make_panel: Callable[..., Panel]) -> None:
    server.acks = False
    panel = make_panel()
    breaker = panel.watch(pybreaker.CircuitBreaker(), name="catalog")
    session = server.session_with("catalog")
    assert panel.flush(0) is True  # nothing has happened yet
    breaker.open()
    (batch,) = server.wait_for(lambda: session.of_type("events"))

    assert panel.flush(0.05) is False

    session.send(type="ack", batch=batch["batch"], accepted=1, duplicates=0, rejected=[])
    assert panel.flush(10) is True


def test_close_sends_what_waits_and_says_goodbye_last(
    server: PanelServer, make_panel: Callable[..., Panel]
) -> None:
    panel = make_panel()
    breaker = panel.watch(pybreaker.CircuitBreaker(), name="catalog")
    session = server.session_with("catalog")
    breaker.open()

    panel.close()

    assert server.events(to="open")
    server.wait_for(lambda: session.ended)
    assert session.frames[-1]["type"] == "goodbye"
    assert not [t for t in threading.enumerate() if t is panel._link._thread]  # type: ignore[union-attr]


def test_with_the_server_down_nothing_waits_and_one_line_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, "panelboard_client")
    began = time.monotonic()
    panel = panelboard_client.connect(url=closed_port(), api_key="k", service="orders")
    breaker = panel.watch(pybreaker.CircuitBreaker(fail_max=2, reset_timeout=0), name="catalog")
    for _ in range(200):
        trip(breaker)
        breaker.call(lambda: 1)
    connecting = time.monotonic() - began

    assert panel.flush(0.05) is False
    link = panel._link
    assert link is not None
    while link.attempt < 2:
        assert time.monotonic() - began < 30
        threading.Event().wait(0.01)
    panel.close()

    assert connecting < 2
    lines = [r.getMessage() for r in caplog.records if r.name == "panelboard_client"]
    assert len(lines) == 1
    assert "out of reach" in lines[0]


def test_what_happened_while_the_server_was_away_is_sent_when_it_is_back(
    server: PanelServer, make_panel: Callable[..., Panel]
) -> None:
    panel = make_panel()
    breaker = panel.watch(pybreaker.CircuitBreaker(fail_max=2), name="catalog")
    server.session_with("catalog")
    server.stop()
    trip(breaker)

    server.start()

    server.wait_for(lambda: server.events(to="open"), within_s=40)
    assert server.sessions[-1].hello["breakers"][0]["state"] == "open"


def test_a_process_that_ends_says_goodbye_by_itself(server: PanelServer) -> None:
    program = """
        import panelboard_client, pybreaker
        panel = panelboard_client.connect(service="orders")
        breaker = panel.watch(pybreaker.CircuitBreaker(), name="catalog")
        breaker.open()
        assert panel.flush(10)
    """
    run_program(program, server)

    server.wait_for(lambda: server.sessions[0].of_type("goodbye"))


def test_a_process_ends_though_no_panel_is_there() -> None:
    program = """
        import panelboard_client, pybreaker
        panel = panelboard_client.connect(service="orders")
        panel.watch(pybreaker.CircuitBreaker(), name="catalog").open()
    """
    run_program(program, closed_port())


def test_a_process_ends_though_the_panel_takes_its_call_and_never_answers() -> None:
    program = """
        import sys, panelboard_client, pybreaker
        panel = panelboard_client.connect(service="orders")
        panel.watch(pybreaker.CircuitBreaker(), name="catalog").open()
        sys.stdin.read()
    """
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(ENDS_WITHIN_S)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with start_program(program, url) as process:
            try:
                caller, _ = silent.accept()
                with caller:
                    process.communicate(timeout=ENDS_WITHIN_S)  # its input ends, and so may it
            finally:
                process.kill()
    assert process.returncode == 0


FORKING = """
    import os, sys, panelboard_client, pybreaker
    panel = panelboard_client.connect(service="orders", instance=os.environ.get("NAMED"))
    breaker = panel.watch(pybreaker.CircuitBreaker(), name="catalog")
    breaker.open()
    assert panel.flush(10)
    child = os.fork()
    if child == 0:
        breaker.close()
        assert panel.flush(10)
        panel.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    breaker.half_open()
    assert panel.flush(10)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("named", ["", "orders-1"])
def test_a_forked_child_is_an_instance_of_its_own(server: PanelServer, named: str) -> None:
    run_program(FORKING, server, NAMED=named)

    parent = server.session(0)
    server.wait_for(lambda: len(server.sessions) == 2 and all(s.ended for s in server.sessions))
    child = server.sessions[1]
    assert parent.hello["instance"] != child.hello["instance"]
    assert parent.hello["boot"] != child.hello["boot"]
    if named:
        assert child.hello["instance"].startswith("orders-1-")
    told = [e["to"] for frame in parent.of_type("events") for e in frame["events"]]
    assert told == ["open", "half_open"]
    told = [e["to"] for frame in child.of_type("events") for e in frame["events"]]
    assert told == ["closed"]
    ids = [event["id"] for event in server.events()]
    assert len(set(ids)) == len(ids)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_parent_that_closes_after_the_last_fork_is_gone_and_its_child_stays(
    server: PanelServer,
) -> None:
    program = """
        import os, sys, time, panelboard_client, pybreaker
        panel = panelboard_client.connect(service="orders")
        breaker = panel.watch(pybreaker.CircuitBreaker(), name="catalog")
        while not panel.connected:  # there is nothing yet for which a flush would wait
            time.sleep(0.01)
        child = os.fork()
        if child:
            panel.close()
            print("closed", flush=True)
            assert os.waitpid(child, 0)[1] == 0
            sys.exit()
        sys.stdin.readline()  # until the parent's goodbye was heard
        breaker.open()
        assert panel.flush(10)
        panel.close()
        os._exit(0)
    """
    with start_program(program, server.url) as process:
        assert process.stdin is not None
        server.wait_for(lambda: bool(server.sessions) and server.sessions[0].ended)
        server.wait_for(lambda: len(server.sessions) == 2)
        parent, child = server.sessions
        assert parent.of_type("goodbye")
        assert not child.ended
        process.stdin.write("go\n")
        process.stdin.flush()
        assert process.wait(ENDS_WITHIN_S) == 0
    told = [e["to"] for frame in child.of_type("events") for e in frame["events"]]
    assert told == ["open"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_does_not_hold_the_parents_socket_open(server: PanelServer) -> None:
    program = """
        import os, signal, panelboard_client, pybreaker
        panel = panelboard_client.connect(service="orders")
        panel.watch(pybreaker.CircuitBreaker(), name="catalog").open()
        assert panel.flush(10)
        child = os.fork()
        if child == 0:
            panel.close()
            os.close(1)
            signal.alarm(30)
            signal.pause()
        print(child, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    child = int(run_program(program, server, code=-9))
    try:
        server.wait_for(lambda: server.sessions[0].ended)
        os.kill(child, 0)  # it is still there
    finally:
        os.kill(child, 9)


ENDS_WITHIN_S = 60
"""Whoever waits for a panel waits for ever."""


def run_program(program: str, server: PanelServer | str, code: int = 0, **env: str) -> str:
    url = server if isinstance(server, str) else server.url
    with start_program(program, url, **env) as process:
        try:
            said, _ = process.communicate(timeout=ENDS_WITHIN_S)
        finally:
            process.kill()
    assert process.returncode == code
    return said


def start_program(program: str, url: str, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={**os.environ, "PANELBOARD_URL": url, "PANELBOARD_API_KEY": "k", **env},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
