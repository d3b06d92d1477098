"""Goodbye on the way out: when Python ends in an orderly way, and on a SIGTERM nobody handles.

A process that is sent SIGTERM without a handler dies at once and its instance counts as lost,
though it was meant to go. So a handler is put there if, and only if, there is none: SIGTERM is at
its default, and this is the main thread. It says goodbye, puts the default back and sends the
signal again, so that the process dies of it as it would have, with the same exit status. Whoever
sets a handler later replaces this one, as Python has it.
"""

from __future__ import annotations

import atexit
import os
import signal
import threading
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from panelboard_client.panel import Panel

GOODBYE_S = 2.0

live: weakref.WeakSet[Panel] = weakref.WeakSet()


def mind_sigterm() -> bool:
    """Puts the handler there if there is none; says whether it stands."""
    if threading.current_thread() is not threading.main_thread():
        return False
    try:
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _on_sigterm)
        return signal.getsignal(signal.SIGTERM) is _on_sigterm
    except ValueError:  # a subinterpreter's main thread may set none
        return False


def leave_sigterm() -> None:
    """The last panel is closed: the default is back, if nobody else has come."""
    mine = threading.current_thread() is threading.main_thread()
    if mine and not live and signal.getsignal(signal.SIGTERM) is _on_sigterm:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _on_sigterm(number: int, frame: Any) -> None:
    try:
        for panel in list(live):
            panel.say_goodbye()
    finally:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


def _close_all() -> None:
    for panel in list(live):
        # Whoever is not connected has nobody to say goodbye to, and does not wait.
        panel.close(GOODBYE_S if panel.connected else 0.0)


atexit.register(_close_all)
