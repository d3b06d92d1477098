"""Connects a service's circuit breakers to Panelboard.

    panel = panelboard_client.connect(url=..., api_key=..., service="orders")
    breaker = panel.watch(pybreaker.CircuitBreaker(fail_max=5, reset_timeout=30), name="catalog")

`connect` returns at once whatever the server does, and nothing here blocks or raises in a
guarded call.
"""

from panelboard_client.gate import Gate, Refused
from panelboard_client.panel import Panel, connect
from panelboard_client.version import __version__

__all__ = ["Gate", "Panel", "Refused", "__version__", "connect"]
