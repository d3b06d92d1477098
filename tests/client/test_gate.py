"""Breakers of no library: reported by the service itself, and asked for by it."""

from __future__ import annotations

from collections.abc import Callable

import pybreaker
import pytest
from panelboard_client import Panel, Refused, session

from tests.client.panel_server import PanelServer, desired

MakePanel = Callable[..., Panel]


def test_what_is_reported_is_told_once_a_change(server: PanelServer, make_panel: MakePanel) -> None:
    panel = make_panel()

    panel.report("ledger", "open", target="ledger", reason="failures", detail="5 of 9 failed")
    panel.report("ledger", "open")
    panel.report("ledger", "closed", cause="manual")

    server.event(to="closed")
    assert panel.flush(10)
    assert [(e["from"], e["to"], e["cause"]) for e in server.events()] == [
        ("closed", "open", "automatic"),
        ("open", "closed", "manual"),
    ]
    first = server.event(to="open")
    assert (first["target"], first["reason"], first["detail"]) == (
        "ledger",
        "failures",
        "5 of 9 failed",
    )
    assert "library" not in first
    assert server.session_with("ledger").hello["breakers"][0]["breaker"] == "ledger"


def test_a_word_that_is_no_state_is_refused_where_it_is_said(make_panel: MakePanel) -> None:
    with pytest.raises(ValueError, match="state must be one of closed, open"):
        make_panel().report("ledger", "opn")


def test_a_breaker_that_is_only_reported_is_not_said_to_obey(
    server: PanelServer, make_panel: MakePanel
) -> None:
    make_panel().report("ledger", "closed")

    server.session_with("ledger").send(**desired("ledger", 1, "forced_open"))

    answer = server.applied(1)
    assert (answer["ok"], answer["state"]) == (False, "closed")
    assert "only reports" in answer["error"]


def test_a_gate_refuses_while_forced_open_and_lets_through_while_forced_closed(
    server: PanelServer, make_panel: MakePanel
) -> None:
    gate = make_panel().gate("ledger")
    session = server.session_with("ledger")
    assert gate.allows() is True
    assert gate.allows(otherwise=False) is False

    session.send(**desired("ledger", 1, "forced_open", reason="the books are being closed"))
    answer = server.applied(1)
    assert (answer["ok"], answer["state"]) == (True, "forced_open")
    assert gate.allows() is False
    with pytest.raises(Refused, match="the books are being closed"), gate:
        raise AssertionError("the block must not run")

    session.send(**desired("ledger", 2, "forced_closed"))
    server.applied(2)
    assert gate.allows(otherwise=False) is True


async def test_a_gate_is_asked_by_async_with_too(
    server: PanelServer, make_panel: MakePanel
) -> None:
    gate = make_panel().gate("ledger")
    async with gate:
        pass
    server.session_with("ledger").send(**desired("ledger", 1, "forced_open"))
    server.applied(1)

    with pytest.raises(Refused):
        async with gate:
            raise AssertionError("the block must not run")


def test_a_gate_counts_what_goes_through_it(
    server: PanelServer, make_panel: MakePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "SNAPSHOT_EVERY_S", 0.1)
    gate = make_panel().gate("ledger")
    with gate:
        pass
    with pytest.raises(OSError, match="down"), gate:
        raise OSError("down")
    gate.allows(otherwise=False)

    server.wait_for(lambda: sum(s["metrics"]["calls"] for s in server.events(type="snapshot")) == 2)
    told = [s["metrics"] for s in server.events(type="snapshot")]
    assert sum(m["failed"] for m in told) == 1
    assert sum(m["not_permitted"] for m in told) == 1


def test_commands_are_carried_out_by_the_service(
    server: PanelServer, make_panel: MakePanel
) -> None:
    panel = make_panel()
    gate = panel.gate("ledger", on_trip=lambda: gate.report("open"))
    session = server.session_with("ledger")

    session.send(**desired("ledger", 1, command={"id": "a", "command": "trip", "expires_in": 60}))
    answer = server.applied(1)
    assert (answer["ok"], answer["state"]) == (True, "open")
    assert server.event(to="open")["detail"] == "trip"

    session.send(**desired("ledger", 2, command={"id": "b", "command": "reset", "expires_in": 60}))
    answer = server.applied(2)
    assert answer["ok"] is False
    assert "has not said how to reset" in answer["error"]


def test_a_gate_is_the_same_whoever_asks_for_it_and_no_librarys(make_panel: MakePanel) -> None:
    panel = make_panel()
    panel.watch(pybreaker.CircuitBreaker(), name="catalog")
    panel.gate("ledger").report("open")

    panel.report("ledger", "open")

    assert [entry.name for entry in panel._roster.all()] == ["catalog", "ledger"]
    with pytest.raises(ValueError, match="another breaker is watched as 'catalog'"):
        panel.gate("catalog")


def test_after_close_a_gate_lets_all_through(server: PanelServer, make_panel: MakePanel) -> None:
    panel = make_panel()
    gate = panel.gate("ledger")
    server.session_with("ledger").send(**desired("ledger", 1, "forced_open"))
    server.applied(1)

    panel.close()

    assert gate.allows() is True
    gate.report("open")
    panel.report("ledger", "closed")


def test_an_override_of_a_breaker_that_was_only_reported_holds_once_there_is_a_gate(
    server: PanelServer, make_panel: MakePanel
) -> None:
    panel = make_panel()
    panel.report("ledger", "closed")
    session = server.session_with("ledger")
    session.send(**desired("ledger", 1, "forced_open"))
    assert server.applied(1)["ok"] is False

    gate = panel.gate("ledger")

    assert gate.allows() is False
    server.wait_for(lambda: session.of_type("applied")[-1]["ok"])


def test_an_order_from_before_never_fails_the_one_who_reports(
    server: PanelServer, make_panel: MakePanel
) -> None:
    server.desired = [desired("ledger", 3, "forced_open"), desired("books", 4, "forced_open")]
    panel = make_panel()
    server.session()
    server.wait_for(lambda: panel._roster._unclaimed)

    panel.report("ledger", "closed")
    gate = panel.gate("books")

    assert server.applied(3)["ok"] is False
    assert server.applied(4)["ok"] is True
    assert gate.allows() is False
