from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from panelboard_client import Panel

from tests.client.panel_server import PanelServer
from tests.client.watch.library import Watched


@pytest.fixture
def watch(server: PanelServer, make_panel: Callable[..., Panel]) -> Callable[[Any], Watched]:
    return lambda breaker: Watched(server, make_panel(), breaker)
