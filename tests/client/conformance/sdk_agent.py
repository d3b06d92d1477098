"""A service with the SDK and nothing else: a breaker of pybreaker, and another that it makes once it is connected."""

from __future__ import annotations

import threading
import time

import panelboard_client
import pybreaker

panel = panelboard_client.connect(service="orders", instance="orders-1")
panel.watch(pybreaker.CircuitBreaker(reset_timeout=600), name="catalog", target="catalog")
while not panel.connected:
    time.sleep(0.01)
panel.watch(pybreaker.CircuitBreaker(reset_timeout=600), name="users", target="users")
threading.Event().wait()
