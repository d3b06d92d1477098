from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import panelboard_client
import pytest
from panelboard_client import Panel

from tests.client.panel_server import PanelServer, panel_server


@pytest.fixture
def server() -> Iterator[PanelServer]:
    with panel_server() as running:
        yield running


@pytest.fixture
def make_panel(server: PanelServer) -> Iterator[Callable[..., Panel]]:
    """A panel connected to `server`, closed at the end of the test."""
    made: list[Panel] = []

    def make(**settings: Any) -> Panel:
        settings = {"url": server.url, "api_key": "key", "service": "orders", **settings}
        made.append(panelboard_client.connect(**settings))
        return made[-1]

    yield make
    for panel in made:
        panel.close()
