"""Overrides on disk: they stand after a restart with the panel away, and never longer than meant."""

from __future__ import annotations

import json
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import panelboard_client
import pybreaker
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from panelboard_client import Panel
from panelboard_client.desired import Standing
from panelboard_client.identity import Identity
from panelboard_client.state_file import MAX_AGE_S, StateFile
from panelboard_client.wire import Order

from tests.client.panel_server import PanelServer, desired

NOW = 1_800_000_000.0


def identity(service: str = "orders") -> Identity:
    return Identity(service=service, environment="prod", instance=None, labels={})


def standing(mode: str | None, *, until: float | None = None, revision: int = 7) -> Standing:
    made = Standing()
    expires_in = None if until is None else until
    made.receive(Order("catalog", revision, mode, "moved", expires_in), now=0)
    made.settle(None)
    return made


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "panelboard.json")


def saved(path: str, *, until: float | None = None, mode: str = "forced_open") -> None:
    StateFile(path, identity()).save({"catalog": standing(mode, until=until)}, NOW, monotonic=0)


def test_what_stood_is_read_again_with_what_is_left_of_it(path: str) -> None:
    saved(path, until=600)

    (order,) = StateFile(path, identity()).load(NOW + 100)

    assert (order.breaker, order.revision, order.mode, order.reason) == (
        "catalog",
        7,
        "forced_open",
        "moved",
    )
    assert order.expires_in == pytest.approx(500, abs=1)


def test_what_has_ended_meanwhile_is_not(path: str) -> None:
    saved(path, until=600)

    assert StateFile(path, identity()).load(NOW + 601) == []


@given(jump=st.floats(-80_000, 80_000))
def test_a_clock_that_was_set_never_lengthens_an_override(
    tmp_path_factory: pytest.TempPathFactory, jump: float
) -> None:
    path = str(tmp_path_factory.mktemp("state") / "panelboard.json")
    saved(path, until=600)

    for order in StateFile(path, identity()).load(NOW + jump):
        assert order.expires_in is not None
        assert 0 < order.expires_in <= 601


def test_one_without_an_end_is_believed_for_a_day(path: str) -> None:
    saved(path)

    (order,) = StateFile(path, identity()).load(NOW + MAX_AGE_S - 1)
    assert order.expires_in is None
    assert StateFile(path, identity()).load(NOW + MAX_AGE_S + 1) == []


def test_a_released_override_leaves_the_file(path: str) -> None:
    file = StateFile(path, identity())
    file.save({"catalog": standing("forced_open")}, NOW, monotonic=0)
    file.save({"catalog": standing(None)}, NOW, monotonic=0)

    assert json.loads(Path(path).read_text())["breakers"] == {}


def test_it_is_written_for_this_user_alone_and_only_for_news(path: str) -> None:
    file = StateFile(path, identity())
    file.save({"catalog": standing("forced_open", until=600)}, NOW, monotonic=0)
    first = os.stat(path)
    file.save({"catalog": standing("forced_open", until=600)}, NOW + 10, monotonic=10.5)

    assert stat.S_IMODE(first.st_mode) == 0o600
    assert os.stat(path).st_ino == first.st_ino
    assert os.listdir(os.path.dirname(path)) == ["panelboard.json"]


@pytest.mark.parametrize("service", ["billing"])
def test_another_services_file_is_passed_over(path: str, service: str) -> None:
    saved(path)

    assert StateFile(path, identity(service)).load(NOW) == []


def test_a_file_that_others_may_write_is_passed_over(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    saved(path)
    os.chmod(path, 0o666)

    assert StateFile(path, identity()).load(NOW) == []
    assert "others may write it" in caplog.text


def test_a_symlink_and_a_device_are_passed_over(path: str) -> None:
    saved(path)
    os.symlink(path, path + ".link")

    assert StateFile(path + ".link", identity()).load(NOW) == []
    assert StateFile(os.devnull, identity()).load(NOW) == []
    assert StateFile(os.path.dirname(path), identity()).load(NOW) == []


WHOLE: dict[str, Any] = {
    "version": 1,
    "service": "orders",
    "environment": "prod",
    "saved_at": NOW,
    "breakers": {
        "catalog": {"revision": 7, "mode": "forced_open", "reason": "", "ends_at": NOW + 60}
    },
}
ANY = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@settings(max_examples=200)
@given(where=st.sampled_from([*WHOLE, "catalog", "revision", "mode", "reason", "ends_at"]), odd=ANY)
def test_whatever_a_file_says_nothing_is_raised_and_no_odd_order_comes_of_it(
    tmp_path_factory: pytest.TempPathFactory, where: str, odd: object
) -> None:
    whole = json.loads(json.dumps(WHOLE))
    holder = whole
    if where == "catalog":
        holder = whole["breakers"]
    elif where not in whole:
        holder = whole["breakers"]["catalog"]
    holder[where] = odd
    path = tmp_path_factory.mktemp("state") / "panelboard.json"
    path.write_text(json.dumps(whole))
    path.chmod(0o600)

    for order in StateFile(str(path), identity()).load(NOW):
        assert order.mode in ("forced_open", "forced_closed")
        assert order.expires_in is None or 0 < order.expires_in < float("inf")


@given(st.binary(max_size=200))
def test_bytes_that_are_no_file_of_ours_are_passed_over(
    tmp_path_factory: pytest.TempPathFactory, odd: bytes
) -> None:
    path = tmp_path_factory.mktemp("state") / "panelboard.json"
    path.write_bytes(odd)
    path.chmod(0o600)

    assert StateFile(str(path), identity()).load(NOW) == []


# In a service.


def closed_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
def override_kept(server: PanelServer, path: str) -> str:
    """What a life of the service has left behind: catalog is forced open."""
    with panelboard_client.connect(
        url=server.url, api_key="k", service="orders", state_file=path
    ) as panel:
        panel.watch(pybreaker.CircuitBreaker(), name="catalog")
        server.session_with("catalog").send(
            **desired("catalog", 4, "forced_open", expires_in=600, reason="moved")
        )
        server.applied(4)
        server.wait_for(lambda: os.path.exists(path), "the file")
    return path


def test_an_override_stands_after_a_restart_with_the_panel_away(override_kept: str) -> None:
    with panelboard_client.connect(
        url=closed_port(), api_key="k", service="orders", state_file=override_kept
    ) as panel:
        breaker = panel.watch(pybreaker.CircuitBreaker(), name="catalog")

        with pytest.raises(pybreaker.CircuitBreakerError, match="moved"):
            breaker.call(lambda: None)


def test_the_panels_word_counts_once_it_is_there_even_under_the_same_revision(
    server: PanelServer, make_panel: Callable[..., Panel], override_kept: str
) -> None:
    server.desired = [desired("catalog", 4, None)]  # not in the scope of this new instance
    panel = make_panel(state_file=override_kept)
    breaker = panel.watch(pybreaker.CircuitBreaker(), name="catalog")

    again = server.session(1)
    server.wait_for(lambda: again.of_type("applied"))
    assert again.of_type("applied")[-1]["state"] == "closed"
    assert breaker.call(lambda: "fine") == "fine"


def test_what_the_panel_knows_nothing_of_is_dropped(
    server: PanelServer, make_panel: Callable[..., Panel], override_kept: str
) -> None:
    panel = make_panel(state_file=override_kept)
    breaker = panel.watch(pybreaker.CircuitBreaker(), name="catalog")

    server.event(cause="override", reason="released", to="closed")
    assert breaker.call(lambda: "fine") == "fine"


def test_a_folder_that_cannot_be_written_costs_one_log_line(
    server: PanelServer, make_panel: Callable[..., Panel], caplog: pytest.LogCaptureFixture
) -> None:
    panel = make_panel(state_file="/proc/panelboard.json")
    panel.watch(pybreaker.CircuitBreaker(), name="catalog")
    session = server.session_with("catalog")
    for revision in (1, 2, 3):
        session.send(**desired("catalog", revision, "forced_open"))
        assert server.applied(revision)["ok"] is True

    said = [r.getMessage() for r in caplog.records if "cannot keep" in r.getMessage()]
    assert len(said) == 1
