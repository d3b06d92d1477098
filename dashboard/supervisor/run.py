"""`up`: starts the parts in order, keeps them running, and stops them in reverse order."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from dashboard.config import Config
from dashboard.supervisor import environment, parts
from dashboard.supervisor.folder import Folder
from dashboard.supervisor.keeper import GaveUp, Keeper
from dashboard.supervisor.output import Output
from dashboard.supervisor.parts import Part, Program
from dashboard.supervisor.ports import listen
from dashboard.supervisor.postgres import open_cluster, prepare_roles
from dashboard.supervisor.process import UpError, spawn_options
from dashboard.supervisor.redis import open_store

DEMO_FILE = "demo.json"
"""Written by the demo into the data directory once it serves."""


@dataclass(frozen=True)
class Options:
    """What `up` was asked for."""

    host: str
    port: int
    workers: int
    demo: tuple[str, ...]


@dataclass
class Addresses:
    """Where the servers are: as the environment names them, or as ours were started."""

    database_url: str
    database_owner_url: str
    redis_url: str


@dataclass
class System:
    """Everything of one `up`."""

    options: Options
    config: Config
    output: Output
    folder: Folder
    sock: socket.socket
    port: int
    keepers: list[Keeper] = field(default_factory=list)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    addresses: Addresses = field(default_factory=lambda: Addresses("", "", ""))
    made_password: str | None = None
    is_ready: bool = False

    @property
    def url(self) -> str:
        """As `Panelboard is ready at` names it."""
        host = self.options.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def local_url(self) -> str:
        """The same, reachable from this machine also where the host stands for all addresses."""
        wildcard = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}  # noqa: S104
        host = wildcard.get(self.options.host)
        return f"http://{host}:{self.port}" if host else self.url

    @property
    def public_url(self) -> str:
        asked = "public_url" in self.config.model_fields_set
        return self.config.public_url if asked else self.local_url

    # --- one after the other -------------------------------------------------------------------

    async def start(self) -> None:
        """Returns once every part answers. Raises `UpError` or `GaveUp`."""
        config = self.config
        if config.database_url is None:
            await self._start_postgres()
        else:
            url = config.database_url.get_secret_value()
            owner = config.database_owner_url
            self.addresses.database_url = url
            self.addresses.database_owner_url = owner.get_secret_value() if owner else url
        if config.redis_url is None:
            store = await asyncio.to_thread(open_store, self.folder)
            self.addresses.redis_url = store.url
            self._keep(parts.store(store))
        else:
            self.addresses.redis_url = config.redis_url.get_secret_value()
        await self._prepare_database()
        await self._all_ready()
        program = self._program()
        for part in (
            *parts.web(program, workers=self.options.workers),
            parts.worker(program),
            parts.beat(program),
        ):
            self._keep(part)
        await self._all_ready()
        if self.options.demo:
            demo = self._program(self._demo_env())
            self._keep(parts.demo(demo, self.options.demo, self.folder.path / DEMO_FILE))
            await self._all_ready()
        await self._until(lambda: parts.answers_http(f"{self.local_url}/readyz"))
        self.is_ready = True
        self.announce()

    async def stop(self) -> None:
        """In reverse order; returns when no process is left."""
        self.sock.close()
        for keeper in reversed(self.keepers):
            await keeper.stop()
        self.folder.unannounce()

    def hurry(self) -> None:
        for keeper in self.keepers:
            keeper.hurry()

    def announce(self) -> None:
        """Leaves what other commands need in the data directory."""
        self.folder.announce(
            {
                "pid": os.getpid(),
                "ready": self.is_ready,
                "url": self.local_url,
                "public_url": self.public_url,
                "database_url": self.addresses.database_url,
                "database_owner_url": self.addresses.database_owner_url,
                "redis_url": self.addresses.redis_url,
                "parts": {keeper.part.name: keeper.pid for keeper in self.keepers},
            }
        )

    # --- the steps ------------------------------------------------------------------------------

    async def _start_postgres(self) -> None:
        cluster = await asyncio.to_thread(open_cluster, self.folder)
        self.addresses.database_url = cluster.program_url
        self.addresses.database_owner_url = cluster.owner_url
        self._keep(parts.postgres(cluster))
        await self._all_ready()
        await asyncio.to_thread(prepare_roles, cluster)

    async def _prepare_database(self) -> None:
        """Migrations and first people, in a process that connects as the owner of the tables."""
        reading, writing = os.pipe()
        env = {**self._env(), "DATABASE_OWNER_URL": self.addresses.database_owner_url}
        launch = self._program(env).manage("prepare", "--report-fd", str(writing), fds=(writing,))
        process = await asyncio.create_subprocess_exec(
            *launch.command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            **spawn_options(launch),
        )
        os.close(writing)
        assert process.stdout is not None
        try:
            await self.output.relay("migrate", process.stdout)
            code = await process.wait()
        except asyncio.CancelledError:
            with suppress(ProcessLookupError):
                process.terminate()
            await process.wait()
            raise
        finally:
            with os.fdopen(reading) as report:
                told = report.read()  # the other end is closed: the process has ended
        if code != 0:
            raise UpError("The database could not be prepared; the lines of migrate above say why.")
        self.made_password = json.loads(told)["admin_password"]

    def _program(self, env: dict[str, str] | None = None) -> Program:
        return Program(
            env=env or self._env(),
            fd=self.sock.fileno(),
            url=self.local_url,
            redis_url=self.addresses.redis_url,
        )

    def _env(self) -> dict[str, str]:
        env = environment.of_the_program(
            database_url=self.addresses.database_url,
            redis_url=self.addresses.redis_url,
            data_dir=self.folder.path,
            public_url=self.public_url,
        )
        if self.options.demo:
            key = environment.demo_key(self.folder.path)
            env |= environment.with_the_demo(key=key, allowed=self.config.webhook_allow)
        return env

    def _demo_env(self) -> dict[str, str]:
        return environment.of_the_demo(
            url=self.local_url,
            public_url=self.public_url,
            key=environment.demo_key(self.folder.path),
            data_dir=self.folder.path,
        )

    def _keep(self, part: Part) -> None:
        keeper = Keeper(part, self.output, on_change=self.announce)
        self.keepers.append(keeper)
        self.tasks.add(keeper.start())

    async def _all_ready(self) -> None:
        await asyncio.gather(*(keeper.ready.wait() for keeper in self.keepers))

    async def _until(self, answers: Callable[[], bool]) -> None:
        while not await asyncio.to_thread(answers):
            await asyncio.sleep(0.1)


async def run(options: Options, config: Config, output: Output) -> int:
    """The exit code of `up`: 0 after a wish to stop, 1 if it could not go on."""
    folder = Folder(config.data_dir)
    try:
        folder.claim()
        sock = listen(options.host, options.port)
    except UpError as error:
        output.plain(f"Panelboard cannot start. {error}")
        return 1
    system = System(
        options=options,
        config=config,
        output=output,
        folder=folder,
        sock=sock,
        port=int(sock.getsockname()[1]),
    )
    stop = asyncio.Event()

    def wish_to_stop() -> None:
        if stop.is_set():
            system.hurry()
        stop.set()

    loop = asyncio.get_running_loop()
    for wish in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(wish, wish_to_stop)
    try:
        problem = await _serve(system, stop)
        if not problem:
            output.plain("Panelboard is stopping.")
    finally:
        await system.stop()
    if problem:
        output.plain(f"Panelboard cannot {'go on' if system.is_ready else 'start'}. {problem}")
    return 1 if problem else 0


async def _serve(system: System, stop: asyncio.Event) -> str | None:
    """Until someone wishes to stop (None) or it cannot go on (why)."""
    starting = asyncio.create_task(system.start())
    stopping = asyncio.create_task(stop.wait())
    problem: str | None = None
    told = False
    waiting: set[asyncio.Task[Any]] = {starting, stopping}
    while problem is None and not stop.is_set():
        done, _ = await asyncio.wait(
            waiting | system.tasks, return_when=asyncio.FIRST_COMPLETED, timeout=0.5
        )
        problem = next((_why(task) for task in done if _why(task)), None)
        if starting in done and problem is None and not told:
            told = True
            waiting.discard(starting)
            _welcome(system)
    if not told:
        starting.cancel()
        with suppress(asyncio.CancelledError, UpError, GaveUp):
            await starting
        _sign_in(system)
    stopping.cancel()
    return problem


def _why(task: asyncio.Task[Any]) -> str | None:
    error = None if task.cancelled() else task.exception()
    if error is None:
        return None
    if isinstance(error, UpError | GaveUp | OSError):
        return str(error)
    raise error


def _welcome(system: System) -> None:
    system.output.plain(f"Panelboard is ready at {system.url}")
    _sign_in(system)


def _sign_in(system: System) -> None:
    if system.made_password:
        system.output.plain(
            f"Sign in as admin with the password {system.made_password} (shown only this once)."
        )
