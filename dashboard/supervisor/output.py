"""What `up` prints: each line with the name of the part that wrote it, coloured on a terminal."""

from __future__ import annotations

import asyncio
import sys
from typing import TextIO

_COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)
_WIDTH = 8
_LINE_MAX = 64 * 1024


class Output:
    """Lines of all parts, in the order in which they come."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._coloured = self._stream.isatty()
        self._names: dict[str, int] = {}

    def line(self, name: str, text: str) -> None:
        """One line of one part."""
        colour = self._names.setdefault(name, _COLOURS[len(self._names) % len(_COLOURS)])
        label = f"{name:<{_WIDTH}} |"
        if self._coloured:
            label = f"\x1b[{colour}m{label}\x1b[0m"
        self.plain(f"{label} {text}")

    def plain(self, text: str) -> None:
        """A line of `up` itself, for the person at the terminal. A closed terminal stops nothing."""
        try:
            self._stream.write(text + "\n")
            self._stream.flush()
        except (BrokenPipeError, OSError, ValueError):
            return

    async def relay(self, name: str, stream: asyncio.StreamReader) -> None:
        """Prints what a part writes until it closes its end; over-long lines are cut into several."""
        rest = b""
        while chunk := await stream.read(_LINE_MAX):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > _LINE_MAX:
                lines, rest = [*lines, rest], b""
            for line in lines:
                self._relayed(name, line)
        if rest:
            self._relayed(name, rest)

    def _relayed(self, name: str, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip()
        if text and not any(phrase in text for phrase in _NOISE):
            self.line(name, text)


_NOISE = (
    "vm.overcommit_memory",  # advice for whole machines; our Redis forks only to rewrite a small file
    "FATAL:  the database system is starting up",  # the answer to our own question
    'background worker "logical replication launcher"',  # "exited with exit code 1" at each clean stop
)
