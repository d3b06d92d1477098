"""An awaitable that is taken as far as it goes before anybody waits: what is there already needs no timer around it."""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")


class Begun(Generic[Result]):
    """Either `is_done` and has its `result`, or is to be awaited, once and by the task that began it. Raises what the
    awaitable raises, here or there."""

    __slots__ = ("_pause", "_rest", "is_done", "result")
    result: Result

    def __init__(self, awaitable: Awaitable[Result]) -> None:
        self._rest = awaitable.__await__()
        try:
            self._pause = next(self._rest)
        except StopIteration as end:
            self.is_done, self.result = True, end.value
        else:
            self.is_done = False

    def __await__(self) -> Generator[Any, Any, Result]:
        # As `yield from` would, but for the step that was taken.
        pause = self._pause
        try:
            while True:
                try:
                    yield pause
                except BaseException as problem:
                    pause = self._rest.throw(problem)
                else:
                    pause = next(self._rest)
        except StopIteration as end:
            result: Result = end.value
            return result
