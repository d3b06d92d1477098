"""Keeps one part running: starts it, asks until it answers, starts it again when it dies."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from asyncio.subprocess import Process
from collections.abc import Callable
from contextlib import suppress

from dashboard.supervisor.output import Output
from dashboard.supervisor.parts import Part
from dashboard.supervisor.process import spawn_options

_FIRST_DELAY_S = 0.2
_LONGEST_DELAY_S = 8.0
_HEALTHY_S = 30.0
"""A part that answered for so long starts its count of failures anew."""
_SILENT_LOOKS, _LOOK_EACH_S = 12, 5.0
"""In a row, at a part that goes on answering; a broker that is back is found again within 30 s. Looks and not seconds:
where this process itself was stopped, the others were too."""
_ATTEMPTS = 4
"""How often a part may die before it ever answered; then `up` ends and says so."""
_STARTUP_FAILURE = 3
"""uvicorn's exit code for an application that cannot start, which trying again seldom mends."""
_STARTUP_FAILURES = 8


class GaveUp(Exception):
    """A part that does not start, as one line."""


def delay_before(failures: int, chance: float) -> float:
    """Seconds before the next start after so many failures in a row; `chance` (0 to 1) spreads them."""
    longest = min(_FIRST_DELAY_S * 2.0 ** (failures - 1), _LONGEST_DELAY_S)
    return longest * (0.5 + chance / 2)


class Keeper:
    """One part, from its first start until `stop`."""

    def __init__(self, part: Part, output: Output, *, on_change: Callable[[], None]) -> None:
        self.part = part
        self.pid: int | None = None
        self.ready = asyncio.Event()
        self._output = output
        self._on_change = on_change
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> asyncio.Task[None]:
        """Begins; the task ends after `stop`, or with `GaveUp`."""
        self._task = asyncio.create_task(self._keep(), name=f"keep {self.part.name}")
        return self._task

    async def stop(self) -> None:
        """Ends the part and returns when nothing of it is left."""
        self._stopping.set()
        if self._task is not None:
            with suppress(GaveUp):
                await self._task

    def hurry(self) -> None:
        """Ends the part at once, where that harms nothing."""
        if self.pid is not None and self.part.may_be_killed:
            self._signal_group(self.pid, signal.SIGKILL)

    async def _keep(self) -> None:
        failures = codes = 0
        ever_ready = False
        while not self._stopping.is_set():
            process = await self._spawn()
            began = asyncio.get_running_loop().time()
            code, was_ready = await self._watch(process)
            if self._stopping.is_set():
                return
            ever_ready = ever_ready or was_ready
            lasted = asyncio.get_running_loop().time() - began
            failures = 1 if was_ready and lasted > _HEALTHY_S else failures + 1
            codes = codes + 1 if code == _STARTUP_FAILURE and not was_ready else 0
            if (not ever_ready and failures >= _ATTEMPTS) or codes >= _STARTUP_FAILURES:
                raise GaveUp(
                    f"{self.part.name} does not start ({_how(code)}); its lines above say why."
                )
            delay = delay_before(failures, random.random())  # noqa: S311  # spreads restarts, guards nothing
            self._say(f"ended ({_how(code)}); starting it again in {delay:.1f} s")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay)

    async def _spawn(self) -> Process:
        launch = await asyncio.to_thread(self.part.launch)
        process = await asyncio.create_subprocess_exec(
            *launch.command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            **spawn_options(launch),
        )
        self.pid = process.pid
        self._on_change()
        return process

    async def _watch(self, process: Process) -> tuple[int, bool]:
        """Until it has ended: its exit code, and whether it ever answered."""
        assert process.stdout is not None
        relay = asyncio.create_task(self._output.relay(self.part.name, process.stdout))
        ended = asyncio.create_task(process.wait())
        asking = asyncio.create_task(self._ask(process.pid))
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({ended, stopping}, return_when=asyncio.FIRST_COMPLETED)
        asking.cancel()
        stopping.cancel()
        if not ended.done():
            await self._end(process, ended)
        was_ready = self.ready.is_set()
        self.ready.clear()
        self._signal_group(process.pid, signal.SIGKILL)  # what it may have left of its own children
        self.pid = None
        self._on_change()
        with suppress(TimeoutError):
            await asyncio.wait_for(relay, 2)
        return ended.result(), was_ready

    async def _ask(self, pid: int) -> None:
        loop = asyncio.get_running_loop()
        began, said = loop.time(), False
        while not await asyncio.to_thread(self.part.answers, pid):
            await asyncio.sleep(0.05)
            if not said and loop.time() - began > self.part.slow_s:
                said = True
                self._say(f"has not answered for {self.part.slow_s:.0f} s; still waiting")
        self.ready.set()
        self._say(f"ready after {loop.time() - began:.1f} s")
        if self.part.goes_on_answering:
            await self._until_silent(pid)
            self._say(f"gave no sign of life for {_SILENT_LOOKS * _LOOK_EACH_S:.0f} s; ending it")
            self._signal_group(pid, signal.SIGKILL)  # a process that is stopped hears nothing else

    async def _until_silent(self, pid: int) -> None:
        silent = 0
        while silent < _SILENT_LOOKS:
            await asyncio.sleep(_LOOK_EACH_S)
            answers = await asyncio.to_thread(self.part.answers, pid)
            silent = silent + 1 if answers is False else 0

    async def _end(self, process: Process, ended: asyncio.Task[int]) -> None:
        for how, wait_s in self.part.ending:
            with suppress(ProcessLookupError):
                process.send_signal(how)
            done, _ = await asyncio.wait({ended}, timeout=wait_s)
            if done:
                return
            self._say(f"did not end within {wait_s:.0f} s")
        self._signal_group(process.pid, signal.SIGKILL)
        await ended

    def _say(self, text: str) -> None:
        self._output.line(self.part.name, text)

    @staticmethod
    def _signal_group(pid: int, how: signal.Signals) -> None:
        # Each part leads a session, so its number is its group's too.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, how)


def _how(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
