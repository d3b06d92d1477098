"""The socket's life: resends, heartbeats, close codes, expiry."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pybreaker
import pytest
from hypothesis import given
from hypothesis import strategies as st
from panelboard_client import Panel, link, session
from panelboard_client.link import backoff

from tests.client.panel_server import PanelServer, desired


@pytest.fixture(autouse=True)
def no_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reconnects at once: what is tested is that it does, not how long it waits."""
    monkeypatch.setattr(link, "BACKOFF_FIRST_S", 0.02)
    monkeypatch.setattr(link, "BACKOFF_MOST_S", 0.1)


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_the_pause_is_anything_up_to_a_bound_that_doubles_to_30_s(n: int, chance: float) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(link, "BACKOFF_FIRST_S", 0.5)
        patch.setattr(link, "BACKOFF_MOST_S", 30.0)
        assert backoff(n, chance) == chance * min(30.0, 0.5 * 2 ** min(n, 10))


def test_a_batch_without_an_ack_comes_again_with_the_same_ids_and_times(
    server: PanelServer, make_panel: Callable[..., Panel]
) -> None:
    server.acks = False
    breaker = make_panel().watch(pybreaker.CircuitBreaker(), name="catalog")
    server.session_with("catalog")
    breaker.open()
    first = server.event(to="open")

    server.acks = True
    server.sessions[0].close(1012)

    server.wait_for(lambda: len(server.events(to="open")) == 2)
    assert server.events(to="open") == [first, first]


def test_an_ack_for_another_batch_settles_nothing(
    server: PanelServer, make_panel: Callable[..., Panel]
) -> None:
    server.acks = False
    panel = make_panel()
    breaker = panel.watch(pybreaker.CircuitBreaker(), name="catalog")
    session = server.session_with("catalog")
    breaker.open()
    server.event(to="open")

    session.send(type="ack", batch=999, accepted=1, duplicates=0, rejected=[])
    session.send(**desired("catalog", 1))  # answered, so the ack before it has been read
    server.applied(1)

    assert panel.flush(0) is False


def test_pings_go_out_at_the_servers_heartbeat(
    server: PanelServer, make_panel: Callable[..., Panel]
) -> None:
    server.heartbeat = 0.05
    make_panel()
    session = server.session()

    server.wait_for(lambda: len(session.of_type("ping")) >= 3)


def test_three_heartbeats_of_silence_end_the_connection(
    server: PanelServer, make_panel: Callable[..., Panel]
) -> None:
    server.heartbeat, server.pongs = 0.1, False
    make_panel()

    assert server.session(1).hello["instance"] == server.session(0).hello["instance"]


def test_snapshots_tell_what_was_counted_and_an_idle_breaker_is_told_once(
    server: PanelServer, make_panel: Callable[..., Panel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "SNAPSHOT_EVERY_S", 0.1)
    panel = make_panel()
    breaker = panel.watch(pybreaker.CircuitBreaker(), name="catalog")
    for _ in range(3):
        breaker.call(lambda: 1)
    with pytest.raises(OSError, match="down"):
        breaker.call(_fail)
    breaker.open()
    with pytest.raises(pybreaker.CircuitBreakerError):
        breaker.call(lambda: 1)

    idle = server.wait_for(
        lambda: [e for e in server.events(type="snapshot") if e["metrics"]["calls"] == 0]
    )
    busy = [e["metrics"] for e in server.events(type="snapshot") if e["metrics"]["calls"]]
    assert sum(m["calls"] for m in busy) == 4
    assert sum(m["failed"] for m in busy) == 1
    assert sum(m["not_permitted"] for m in busy) == 1
    assert all(0 <= m["failure_rate"] <= 100 and m["window"] > 0 for m in busy)
    server.sessions[0].send(**desired("catalog", 1))
    server.applied(1)
    assert len(idle) == 1


def test_an_instance_whose_name_is_taken_goes_on_under_another(
    server: PanelServer, make_panel: Callable[..., Panel]
) -> None:
    panel = make_panel(instance="orders-1")
    panel.watch(pybreaker.CircuitBreaker(), name="catalog")
    server.session_with("catalog").close(4409)

    second = server.session(1).hello
    assert second["instance"].startswith("orders-1-")
    assert second["instance"] == panel.instance


@pytest.mark.parametrize("code", [4401, 4403])
def test_a_refused_key_is_tried_slowly_and_said_once(
    server: PanelServer,
    make_panel: Callable[..., Panel],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
) -> None:
    caplog.set_level(logging.WARNING, "panelboard_client")
    monkeypatch.setattr(link, "REFUSED_PAUSE_S", 0.02)
    server.refuse_with = code
    make_panel()
    server.wait_for(lambda: len(server.sessions) >= 4)

    (line,) = [r.getMessage() for r in caplog.records if r.name == "panelboard_client"]
    assert "API key" in line
    server.refuse_with = None
    server.wait_for(lambda: server.sessions[-1].of_type("hello"))


def test_an_overrides_end_is_kept_with_the_server_gone(
    server: PanelServer, make_panel: Callable[..., Panel], monkeypatch: pytest.MonkeyPatch
) -> None:
    breaker = make_panel().watch(pybreaker.CircuitBreaker(), name="catalog")
    server.session_with("catalog").send(**desired("catalog", 1, "forced_open", expires_in=0.3))
    server.applied(1)
    server.stop()

    def ended() -> bool:
        try:
            return bool(breaker.call(lambda: True))
        except pybreaker.CircuitBreakerError:
            return False

    server.wait_for(ended, "the override to end")
    server.start()
    event = server.event(cause="override", reason="expired")
    assert (event["from"], event["to"]) == ("forced_open", "closed")


def test_an_override_stands_through_a_disconnect(
    server: PanelServer, make_panel: Callable[..., Panel]
) -> None:
    breaker = make_panel().watch(pybreaker.CircuitBreaker(), name="catalog")
    server.session_with("catalog").send(**desired("catalog", 4, "forced_open"))
    server.applied(4)
    server.desired = [desired("catalog", 4, "forced_open")]
    server.sessions[0].close(1012)

    again = server.session(1)
    assert again.hello["breakers"][0]["applied_revision"] == 4
    assert again.hello["breakers"][0]["state"] == "forced_open"
    assert server.applied(4, again)["ok"] is True
    with pytest.raises(pybreaker.CircuitBreakerError):
        breaker.call(lambda: 1)


def test_an_older_revision_is_only_answered(
    server: PanelServer, make_panel: Callable[..., Panel]
) -> None:
    breaker = make_panel().watch(pybreaker.CircuitBreaker(), name="catalog")
    session = server.session_with("catalog")
    session.send(**desired("catalog", 5))
    server.applied(5)

    session.send(**desired("catalog", 4, "forced_open"))

    server.wait_for(lambda: len(session.of_type("applied")) == 2)
    assert session.of_type("applied")[-1]["revision"] == 5
    assert breaker.call(lambda: 1) == 1


def test_a_command_that_comes_again_runs_once(
    server: PanelServer, make_panel: Callable[..., Panel]
) -> None:
    breaker = make_panel().watch(pybreaker.CircuitBreaker(), name="catalog")
    session = server.session_with("catalog")
    trip = {"id": "t", "command": "trip", "expires_in": 60}
    session.send(**desired("catalog", 1, command=trip))
    server.applied(1)
    breaker.close()

    session.send(**desired("catalog", 2, command=trip))

    assert server.applied(2)["state"] == "closed"


def test_what_cannot_be_done_is_answered_with_why(
    server: PanelServer, make_panel: Callable[..., Panel]
) -> None:
    make_panel().watch(pybreaker.CircuitBreaker(), name="catalog")

    server.session_with("catalog").send(**desired("catalog", 1, "metrics_only"))

    answer = server.applied(1)
    assert (answer["ok"], answer["state"]) == (False, "closed")
    assert "metrics_only" in answer["error"]


@pytest.mark.parametrize("frame", ["[]", "{", '{"type": "ack"}', '{"type": "desired"}', "7"])
def test_frames_that_are_none_do_not_end_the_link(
    server: PanelServer, make_panel: Callable[..., Panel], frame: str
) -> None:
    make_panel().watch(pybreaker.CircuitBreaker(), name="catalog")
    session = server.session_with("catalog")

    session.connection.send(frame)
    session.send(type="something new")
    session.send(**desired("catalog", 1))

    assert server.applied(1, session)["ok"] is True


def test_events_dropped_for_want_of_room_are_told_as_a_note(
    server: PanelServer, make_panel: Callable[..., Panel]
) -> None:
    server.acks = False
    panel = make_panel()
    panel._buffer._bound = 4
    breaker = panel.watch(pybreaker.CircuitBreaker(), name="catalog")
    server.session_with("catalog")
    breaker.open()
    server.event(to="open")
    for _ in range(5):
        breaker.close()
        breaker.open()

    assert len(panel._buffer) == 4
    server.acks = True
    server.sessions[0].close(1012)
    note = server.event(type="note", reason="events_dropped")
    assert note["detail"].startswith("7 events dropped")


def _fail() -> None:
    raise OSError("down")
